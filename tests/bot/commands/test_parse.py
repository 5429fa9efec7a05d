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

AS_PEOPLE_TYPE = {
    " /screen": "/screen",
    "   /screen": "/screen",
    "\n/screen": "/screen",
    "\r\n \r\n/screen\r\n": "/screen",
    "\t/screen": "/screen",  # code to Markdown; what pasting leaves
    "\u00a0/screen": "/screen",
    "\u3000\u3000\u3000\u3000/screen": "/screen",
    "\ufeff/screen": "/screen",
    "\ufeff\n\u200b /screen\u200b": "/screen",
    "/scr\u00adeen": "/screen",
    "\u200e/finetune\u2060 sta\u200dtus": "/finetune status",
    "/Screen": "/screen",
    "/FINETUNE CANCEL": "/finetune cancel",
    "/Assay Help": "/assay help",
    "/screen.": "/screen",
    "/Screen!": "/screen",
    "/screen .\t": "/screen",
    "/finetune status.  \r\nThanks.": "/finetune status",
    "/finetune --base-model Qwen/Qwen2.5-Coder-0.5B.": "/finetune --base-model Qwen/Qwen2.5-Coder-0.5B",
    "/finetune --Base-Model=Qwen/Qwen2.5": "/finetune --base-model Qwen/Qwen2.5",
    "/finetune --base-model=x --FORCE": "/finetune --base-model x --force",
    "/finetune —force": "/finetune --force",
    "/finetune –force": "/finetune --force",
    "/finetune -–force": "/finetune --force",
    "/finetune \u2011\u2011base\u2011model=a\u2010b/c": "/finetune --base-model a-b/c",
    "/finetune \u2212\u2212force": "/finetune --force",
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
    "/assay HLEP": "/assay",
    "/screen,": "/screen",
    "/screen, please": "/screen",
    "/finetune?": "/finetune",  # a question
    "/finetune: status": "/finetune",
    "/finetune — please": "/finetune",
    "/finetune -force": "/finetune",
    "/finetune --force=yes": "/finetune",
    "/finetune --base-model=": "/finetune",
    "/finetune --base-model = a/b": "/finetune",
    "/finetune --base-model=--force": "/finetune",
    " /screen now\n/screen": "/screen",
}

NONE = [
    "",
    "> /screen",
    "\n\n> /screen",
    "\u200b> /screen",
    "    /screen",
    "\n    /screen",
    "\u200b    /screen",
    "  \u200b  /screen",
    "\t\t/screen",
    " \t   /screen",
    "\n```\n/screen\n```",
    "~~~\n/screen",
    "<!--\n/screen\n-->",
    "- /screen",
    "\\/screen",
    "Hello,\n\n/screen",
    "...\n/screen",
    "/screen.py is slow",
    "/screen/foo.py",
    "/screen-reader",
    "/finetune_all",
    "\u200b\ufeff \r\n",
    "`/screen`",
    "```\n/screen\n```",
    "<!-- /screen -->",
    "/screening",
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


def test_what_pasting_and_keyboards_add_to_a_command_does_not_matter() -> None:
    wrong = [
        (body, command, got) for body, command in AS_PEOPLE_TYPE.items() if (got := command_of(body)) != (command, True)
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
    assert command_of("\n\u200b" * 500_000 + "/screen") == ("/screen", True)
    assert command_of("/screen" + "\u200b" * 1_000_000) == ("/screen", False)
    assert command_of("—" * 1_000_000) is None
