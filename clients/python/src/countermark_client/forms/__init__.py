"""Forms of other systems: NIEM, INTERPOL iARMS, ATF eTrace (form 3312.1), STIX 2.1.

A content is turned into a form, and a form back into a content, by pure functions; what a form cannot hold is
named, never dropped unseen. What goes through these functions leaves the agency's own machine only if the agency
sends it on: the broker has no part in it.

Source: docs/spec/forms.md.
"""
