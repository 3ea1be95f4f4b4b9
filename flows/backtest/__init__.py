"""A configuration over history: what it would have told, beside another one and beside labels."""

from flows.backtest.report import Report

__all__ = ["Report"]
