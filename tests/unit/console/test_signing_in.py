"""Signing in: password, second factor, sessions that end."""


def test_sign_in_with_a_new_second_factor_and_then_with_its_code(browser):
    assert browser.sign_in("ada").status_code == 200
    assert "Sign out" in browser.last.text
    browser.post("/sign-out")
    assert browser.last.url.path == "/sign-in"
    assert "Sign out" in browser.sign_in("ada").text
