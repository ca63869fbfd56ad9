"""The demo: the main job on real records, from founding a log to a verified exchange. Run by `make demo`."""
