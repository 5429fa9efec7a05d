"""Run the migration steps for alembic, in the transaction that `migrate` began."""

from __future__ import annotations

from alembic import context

from bot.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,  # SQLite's too: it is one transaction, or nothing
)
with context.begin_transaction():
    context.run_migrations()
