"""Whether a unit is a UCUM code, and what was probably meant when it is not.

Source: The Unified Code for Units of Measure, version 2.1, case sensitive form: grammar of section
2.1, prefixes of table 1, and those atoms of tables 2 to 21 that a city measures with.
"""

from __future__ import annotations

import difflib
import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PREFIXES = _words("Y Z E P T G M k h da d c m u n p f a z y Ki Mi Gi Ti")

_METRIC = _words("""
    m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv kat l L ar t u eV
    pc bar B B[SPL] B[V] B[mV] B[W] B[kW] Np cal cal_th P St gf dyn erg G Mx mho bit By Bd eq
    m[H2O] m[Hg] U [iU] [IU] g% Ci R RAD REM osm st
""")

_PLAIN = _words("""
    10* 10^ [pi] % [ppth] [ppm] [ppb] [pptr] deg ' '' gon min h d wk mo a a_j atm att har b [pH]
    [in_i] [ft_i] [yd_i] [mi_i] [nmi_i] [kn_i] [gal_us] [gal_br] [lb_av] [lbf_av] [psi] [degF]
    [degR] [Btu] [Btu_IT] [HP] [acr_us] [cft_i] [in_i'H2O] [in_i'Hg] [c] [g] [arb'U] [CFU] circ sph
""")

#: What people write, and the UCUM code of it.
_MEANT = {
    "°C": "Cel", "℃": "Cel", "degC": "Cel", "celsius": "Cel", "°F": "[degF]", "°": "deg",
    "ppm": "[ppm]", "ppb": "[ppb]", "PH": "[pH]", "ph": "[pH]", "kWh": "kW.h", "Wh": "W.h",
    "m³": "m3", "m³/s": "m3/s", "m³/h": "m3/h", "mm/hr": "mm/h", "mm/hour": "mm/h", "sec": "s",
    "hr": "h", "hour": "h", "hours": "h", "minute": "min", "day": "d", "rpm": "/min", "Ω": "Ohm",
    "ohm": "Ohm", "µS/cm": "uS/cm", "μS/cm": "uS/cm", "µg/m3": "ug/m3", "μg/m3": "ug/m3",
    "μg/m³": "ug/m3", "dBA": "dB[SPL]", "dB(A)": "dB[SPL]", "NTU": "{NTU}", "psi": "[psi]",
    "mmHg": "mm[Hg]", "mH2O": "m[H2O]", "kvar": "kV.A{reactive}", "var": "V.A{reactive}",
    "VA": "V.A", "kVA": "kV.A", "": "1", "count": "1", "meter": "m", "metre": "m", "m^3": "m3",
    "m^2": "m2", "m²": "m2", "m/s²": "m/s2", "kpa": "kPa", "mpa": "MPa", "hpa": "hPa", "PA": "Pa",
}  # fmt: skip

_ANNOTATION = re.compile(r"\{[\x21-\x7a|~]*\}")
_SYMBOL = re.compile(r"(?:10[*^]|[A-Za-z%'_]|\[[^\[\]\s{}]+\])+")
_FACTOR = re.compile(r"\d{1,12}")
_EXPONENT = re.compile(r"[+-]?\d{1,3}")


def is_ucum(unit: str) -> bool:
    """Whether `unit` is a UCUM code this gateway knows: "m", "Cel", "mm/h", "uS/cm", "1"."""
    if not unit or len(unit) > 64 or not unit.isascii():
        return False
    end = _term(unit, 0, 0)
    return end == len(unit)


def meant(unit: str) -> str:
    """The UCUM code that was probably meant, or an empty text."""
    if unit in _MEANT:
        return _MEANT[unit]
    bracketed = f"[{unit}]"
    if is_ucum(bracketed):
        return bracketed
    near = difflib.get_close_matches(unit, [*_MEANT, *_METRIC, *_PLAIN], 1, 0.7)
    return _MEANT.get(near[0], near[0]) if near else ""


def _term(text: str, at: int, depth: int) -> int | None:
    """Where the term that starts at `at` ends, None when there is none."""
    if depth > 8:
        return None
    if text[at : at + 1] == "/":
        at += 1
    while True:
        end = _component(text, at, depth)
        if end is None:
            return None
        if text[end : end + 1] not in (".", "/"):
            return end
        at = end + 1


def _component(text: str, at: int, depth: int) -> int | None:
    if text[at : at + 1] == "(":
        end = _term(text, at + 1, depth + 1)
        return end + 1 if end is not None and text[end : end + 1] == ")" else None
    annotation = _ANNOTATION.match(text, at)
    if annotation:
        return annotation.end()
    symbol = _SYMBOL.match(text, at)
    if symbol is None:
        factor = _FACTOR.match(text, at)
        return factor.end() if factor else None
    if not _is_atom(symbol.group()):
        return None
    end = symbol.end()
    exponent = _EXPONENT.match(text, end)
    if exponent:
        end = exponent.end()
    annotation = _ANNOTATION.match(text, end)
    return annotation.end() if annotation else end


def _is_atom(symbol: str) -> bool:
    if symbol in _METRIC or symbol in _PLAIN:
        return True
    return any(symbol.startswith(p) and symbol[len(p) :] in _METRIC for p in _PREFIXES)
