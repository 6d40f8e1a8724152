import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.profiles.units import is_ucum, meant


@pytest.mark.parametrize(
    "unit",
    ["m", "Cel", "mm/h", "uS/cm", "1", "%", "kPa", "m3/s", "ug/m3", "[pH]", "dB", "/min", "kW.h", "m[H2O]",
     "mm[Hg]", "10*3/uL", "mg/L", "{NTU}", "[ppm]", "m/s2", "m.s-2", "deg", "kV.A{reactive}", "[degF]",
     "dB[SPL]", "W/(m2.K)", "umol/(m2.s)", "cm3", "mV", "eV", "cd", "min", "d", "L/s", "Bq/m3"],
)  # fmt: skip
def test_ucum_codes_are_known(unit: str) -> None:
    assert is_ucum(unit)


@pytest.mark.parametrize(
    ("unit", "code"),
    [("°C", "Cel"), ("degC", "Cel"), ("ppm", "[ppm]"), ("m³/h", "m3/h"), ("kWh", "kW.h"), ("mm/hr", "mm/h"),
     ("psi", "[psi]"), ("", "1"), ("NTU", "{NTU}"), ("rpm", "/min"), ("kpa", "kPa"), ("celsius", "Cel")],
)  # fmt: skip
def test_what_people_write_instead_is_refused_and_the_code_suggested(unit: str, code: str) -> None:
    assert not is_ucum(unit)
    assert meant(unit) == code
    assert is_ucum(code)


@pytest.mark.parametrize(
    "unit", ["m//s", "m/", ".", "()", "(m", "m)", "m s", "{a", "M", "kmin", "m3.", "₂"]
)
def test_what_is_no_unit_is_refused(unit: str) -> None:
    assert not is_ucum(unit)


@given(st.text(max_size=80))
def test_any_text_is_answered(unit: str) -> None:
    is_ucum(unit)
    meant(unit)


def test_nesting_is_bounded() -> None:
    assert not is_ucum("(" * 30 + "m" + ")" * 30)
