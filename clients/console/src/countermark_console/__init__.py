"""The console of an agency: officials compose, read and answer in a browser, beside the agency's own keys."""
