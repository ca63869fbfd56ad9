"""Makes and calibres as registers write them: coded where beyond doubt, told apart by reason where not."""

import pytest

from countermark_protocol.codes.calibres import canonical_calibre, match_calibre
from countermark_protocol.codes.matching import REASONS, NoCodeReason, match_make
from countermark_protocol.codes.tables import CodeListName, load_code_list, read_rows
from countermark_protocol.codes.weapons import WeaponCategory

MAKES = load_code_list(CodeListName.NCIC_MAKE)
CALIBRES = load_code_list(CodeListName.NCIC_CALIBRE)


def test_make_aliases_point_to_codes_that_exist():
    rows = read_rows("ncic_gun_make_aliases")
    assert len({(row["written_as"], row["made_in"]) for row in rows}) == len(rows)
    for row in rows:
        found = match_make(row["written_as"], made_in=row["made_in"] or None)
        assert found.code == (row["code"] or None)
        assert found.reason is (None if row["code"] else NoCodeReason(row["ground"]))
        assert not row["code"] or row["code"] in MAKES


def test_calibre_aliases_point_to_codes_that_exist_and_are_canonical():
    rows = read_rows("ncic_gun_calibre_aliases")
    assert len({(row["written_as"], row["category"]) for row in rows}) == len(rows)
    for row in rows:
        assert canonical_calibre(row["written_as"]) == row["written_as"]
        if row["ground"] == "REMARK":
            continue
        found = match_calibre(
            row["written_as"], category=WeaponCategory(row["category"]) if row["category"] else None
        )
        assert found.code == (row["code"] or None), row
        assert found.reason is (None if row["code"] else NoCodeReason(row["ground"]))
        assert not row["code"] or row["code"] in CALIBRES


@pytest.mark.parametrize(
    ("file", "codes"), [("ncic_gun_make_aliases", MAKES), ("ncic_gun_calibre_aliases", CALIBRES)]
)
def test_ambiguous_aliases_name_their_candidates(file, codes):
    for row in read_rows(file):
        candidates = row["candidates"].split()
        if row["ground"] == "AMBIGUOUS":
            assert len(candidates) >= 2 or "no code" in row["note"], row
            assert all(code in codes for code in candidates), row
        else:
            assert not candidates, row


def test_every_reason_is_explained():
    assert set(REASONS) == set(NoCodeReason)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("GLOCK", "GLC"),
        (" glock ", "GLC"),
        ("Glock, Inc.", "GLC"),
        ("GLOCK GMBH (ÁUSTRIA)", "GLC"),
        ("KIMBER", "KIE"),
        ("TAURUS", "TAS"),
        ("SMITH & WESSON", "SW"),
        ("BARETTA", "BER"),
        ("Collath", "COL"),
        ("HK (HECKLER & KOCH, H&K)", "HEC"),
        ("BOITO (E.R. AMANTINO & CIA)", "BOI"),
        ("INA (INDÚSTRIA NACIONAL DE ARMAS)", "INA"),
    ],
)
def test_makes_beyond_doubt_have_their_code(text, code):
    assert match_make(text).code == code


def test_the_country_of_manufacture_tells_two_codes_of_one_maker_apart():
    assert match_make("GLOCK", made_in="US").code == "GLD"
    assert match_make("Glock, Inc.", made_in="US").code == "GLD"
    assert match_make("GLOCK", made_in="AT").code == "GLC"
    assert match_make("TAURUS", made_in="US").code == match_make("TAURUS").code


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NoCodeReason.UNKNOWN),
        ("  ", NoCodeReason.UNKNOWN),
        ("UNKNOWN", NoCodeReason.UNKNOWN),
        ("NÃO IDENTIFICADA", NoCodeReason.PLACEHOLDER),
        ("---", NoCodeReason.PLACEHOLDER),
        ("SPRINGFIELD", NoCodeReason.AMBIGUOUS),
        ("WINCHESTER", NoCodeReason.AMBIGUOUS),
        ("HK", NoCodeReason.AMBIGUOUS),
        ("TRIJICON", NoCodeReason.NOT_IN_LIST),
        ("MAGNUM 357", NoCodeReason.NOT_A_MAKE),
        ("EIBAR", NoCodeReason.NOT_A_MAKE),
        ("L.C.", NoCodeReason.PARTIAL),
        ("DFA AREX DELTA", NoCodeReason.SEVERAL),
        ("GLOCKENSPIEL", NoCodeReason.NOT_RECOGNISED),
        ("ARMS", NoCodeReason.NOT_RECOGNISED),
    ],
)
def test_other_makes_have_none_and_a_reason(text, reason):
    found = match_make(text)
    assert found.code is None
    assert found.reason is reason


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("9mm", "9"),
        ("9 mm", "9"),
        ("9", "9"),
        ("9mm Parabellum", "9"),
        ("9 X 19", "9"),
        ("9\u043c\u043c", "9"),
        ("9\u00d719", "9"),
        (".380", "380"),
        ("9 mm curto (.380 ACP)", "380"),
        (".380 Auto", "380"),
        ("12 Gauge", "12"),
        ("Cal. 12", "12"),
        ("5.56", "556"),
        ("5,56 x 45 mm NATO", "556"),
        (".223 / 5.56", "223"),
        ("7.62", "762"),
        ("7,62", "762"),
        ("7.62x51 (.308 Win)", "762"),
        ("7.62x25", "763"),
        ("10mm", "10"),
        (".38 SPECIAL (9 X 29,5 MM)", "38"),
        (".38 Spl.", "38"),
        (".38 S & W", "38"),
        (".44-40 Win", "44"),
        ("30-06", "3006"),
        ("22LR/22MAG", "22"),
        (".410/36", "410"),
        ("0.357", "357"),
        ("0.22", "22"),
        ("7.65 Browning", "32"),
        ("6,35mm", "635"),
    ],
)
def test_calibres_beyond_doubt_have_their_code(text, code):
    assert match_calibre(text).code == code


@pytest.mark.parametrize(
    ("text", "reason", "candidates"),
    [
        ("", NoCodeReason.UNKNOWN, ()),
        ("?", NoCodeReason.PLACEHOLDER, ()),
        ("não informado", NoCodeReason.PLACEHOLDER, ()),
        ("5.7", NoCodeReason.NOT_IN_LIST, ()),
        (".357 SIG", NoCodeReason.NOT_IN_LIST, ()),
        ("7,65mm", NoCodeReason.AMBIGUOUS, ("765", "32")),
        (".17", NoCodeReason.AMBIGUOUS, ("17", "177")),
        ("36", NoCodeReason.AMBIGUOUS, ("36", "410")),
        ("0.38", NoCodeReason.AMBIGUOUS, ("38", "380")),
        ("0.3", NoCodeReason.AMBIGUOUS, ("30", "300")),
        ("9mm/.357 (arma multicalibre)", NoCodeReason.SEVERAL, ()),
        ("36/.22LR (duplo cano)", NoCodeReason.SEVERAL, ()),
        (".38 (.45)", NoCodeReason.SEVERAL, ()),
        ("Outros Calibres", NoCodeReason.FREE_TEXT, ()),
        ("thirty-eight", NoCodeReason.NOT_RECOGNISED, ()),
        (".38 (thirty)", NoCodeReason.NOT_RECOGNISED, ()),
    ],
)
def test_other_calibres_have_none_and_a_reason(text, reason, candidates):
    found = match_calibre(text)
    assert (found.code, found.reason, found.candidates) == (None, reason, candidates)


def test_the_kind_of_weapon_tells_gauges_from_calibres():
    assert match_calibre("36", category=WeaponCategory.SHOTGUN).code == "410"
    assert match_calibre("36", category=WeaponCategory.REVOLVER).reason is NoCodeReason.AMBIGUOUS
    assert match_calibre("32", category=WeaponCategory.REVOLVER).code == "32"
    assert match_calibre("32", category=WeaponCategory.SHOTGUN).reason is NoCodeReason.NOT_IN_LIST
    assert match_calibre(".32", category=WeaponCategory.SHOTGUN).reason is NoCodeReason.AMBIGUOUS
    assert match_calibre(".32", category=WeaponCategory.PISTOL).code == "32"
    assert match_calibre("12", category=WeaponCategory.SHOTGUN).code == "12"
