"""The audit trail: what is kept of every event, sealed by subject, provable, and found again."""
