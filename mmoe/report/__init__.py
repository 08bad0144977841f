"""Promotion reports: a plain object (data), what it says in words (story), its drawings, and the page (render)."""
