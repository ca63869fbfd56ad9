"""Keys in PKCS#11 tokens: named by URIs (RFC 7512), never taken out, reached again after a token was away.

Source: PKCS#11 3.0; docs/spec/keys.md §8; docs/operations/keys-in-tokens.md.
"""
