"""The database. Every function takes a connection, then the installation whose rows it may touch."""

from __future__ import annotations

from typing import Final

# The exceptions: functions, or whole modules, that touch rows of every installation. A test enforces the rule.
SERVER_WIDE: Final = frozenset(
    {
        "bookmarks",  # about the server itself
        "budgets.all_budgets",
        "budgets.forget_gpu_workers",
        "budgets.list_gpu_workers",
        "budgets.load_gpu_state",
        "budgets.newest_results",
        "budgets.note_gpu_worker",
        "budgets.lock_reservations",
        "budgets.save_gpu_state",
        "budgets.spent_by_repository",
        "budgets.usage_of_all",
        "deliveries",  # handled by id, whatever their installation
        "content_writes.forget_writes",
        "installations.list_installations",
        "installations.recall_installations",
        "jobs.claim_job",
        "jobs.expired_jobs",
        "jobs.free_turns",
        "jobs.load_job",
        "jobs.purge_jobs",
        "jobs.queue_figures",
        "jobs.ready_jobs",
        "repositories.all_repositories",
        "repositories.find_repository",
        "runs.all_runs",
        "runs.claim_run",
        "runs.expired_runs",
        "runs.ready_runs",
        "screenings.newest_label_recipe",
        "screenings.verdict_figures",
        "turns",  # across installations
        "unfinished",  # an outage of GitHub concerns every installation
    }
)
