from hypothesis import given
from hypothesis import strategies as st

from bot.commands.parse import MAX_LINE, command_of

CLEAR = {
    "/screen": "/screen",
    "/screen\nplease, it is urgent": "/screen",
    "/screen   \r\nthanks": "/screen",
    "/assay help": "/assay help",
    "/finetune": "/finetune",
    "/finetune status": "/finetune status",
    "/finetune\tcancel": "/finetune cancel",
    "/finetune --force": "/finetune --force",
    "/finetune --base-model Qwen/Qwen2.5-Coder-0.5B": "/finetune --base-model Qwen/Qwen2.5-Coder-0.5B",
    "/finetune --base-model x --force": "/finetune --base-model x --force",
    "/finetune --force --base-model x": "/finetune --force --base-model x",
}

UNCLEAR = {
    "/finetune cancle": "/finetune",
    "/finetune --force --force": "/finetune",
    "/finetune --base-model": "/finetune",
    "/finetune --base-model --force": "/finetune",
    "/finetune --base-model ../../etc/passwd": "/finetune",
    "/finetune --base-model a/b/c": "/finetune",
    "/finetune --base-model $(reboot)": "/finetune",
    "/finetune --base-model 'x; y'": "/finetune",
    "/finetune status cancel": "/finetune",
    "/finetune now, my password is hunter2": "/finetune",
    f"/finetune --base-model {'x' * 65}": "/finetune",
    f"/screen{' ' * MAX_LINE}": "/screen",
    "/screen everything": "/screen",
    "/screen\u2028/finetune": "/screen",
    "/screen \ud800": "/screen",
    "/assay": "/assay",
    "/assay HELP": "/assay",
}

NONE = [
    "",
    " /screen",
    "\n/screen",
    "> /screen",
    "`/screen`",
    "```\n/screen\n```",
    "<!-- /screen -->",
    "\ufeff/screen",
    "\u200b/screen",
    "/screening",
    "/screen,",
    "/Screen",
    "/finetuned",
    "/assayhelp",
    "//screen",
    "please /screen",
    "/deploy production",
]


def test_a_command_is_kept() -> None:
    wrong = [
        (body, command, got, expected)
        for body, command in CLEAR.items()
        if (got := command_of(body)) != (expected := (command, True))
    ]
    assert wrong == []


def test_an_unknown_command_is_reduced_to_its_first_word_and_is_not_clear() -> None:
    wrong = [
        (body, word, got, expected)
        for body, word in UNCLEAR.items()
        if (got := command_of(body)) != (expected := (word, False))
    ]
    assert wrong == []


def test_anything_else_is_not_a_command() -> None:
    wrong = [(body, got) for body in NONE if (got := command_of(body)) is not None]
    assert wrong == []


@given(st.sampled_from(["/screen", "/finetune", "/finetune --base-model ", "/assay help"]), st.text())
def test_nothing_that_a_person_wrote_is_kept_except_the_name_of_a_base_model(command: str, text: str) -> None:
    kept = command_of(command + text)
    if kept is not None:
        line, clear = kept
        assert line.isascii()
        assert line.isprintable()
        assert len(line) <= MAX_LINE
        assert clear or line in ("/screen", "/finetune", "/assay")


def test_only_the_first_line_of_a_huge_comment_is_read() -> None:
    assert command_of("/finetune " + "x" * 1_000_000) == ("/finetune", False)
    assert command_of("/screen\n" + "x" * 1_000_000) == ("/screen", True)
