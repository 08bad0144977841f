"""Promotion reports: a plain object first (data), drawn (plots) and rendered (render) second."""
