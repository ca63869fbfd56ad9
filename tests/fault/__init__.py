"""Faults under load, and a checker that proves from the outside that nothing was lost, doubled or denied."""
