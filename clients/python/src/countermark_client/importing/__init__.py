"""Records of a national system to notices and back, by a mapping file; the formats of files are apart from it.

Source: docs/spec/mapping.md; docs/howto/import-records.md.
"""
