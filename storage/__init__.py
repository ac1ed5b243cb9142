"""Our PostgreSQL: SQLModel tables, and the queries on them. Nothing here commits: who opened the transaction does."""
