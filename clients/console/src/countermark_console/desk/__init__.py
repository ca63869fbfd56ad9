"""The desk of an agency: its messages, cases and drafts, and what officials do with them.

Nothing here knows of the web: pages in `countermark_console.web` call it.
"""
