"""The river: rain runs off fast and seeps out slowly, and the level follows.

Two quick stores in a row (fast rise, some minutes of delay) beside one slow store (a recession of
many hours, which is also the groundwater), stepped every minute from a day before the world's
start; between steps the flow is linear. A rating curve makes depth out of flow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

STEP_S = 60.0
_WARM_UP_S = 86400.0
_QUICK_S = 900.0  # residence time of each quick store
_SLOW_S = 36000.0
_QUICK_SHARE = 0.55  # of the rain; what is missing to 1 evaporates
_SLOW_SHARE = 0.20
_BASE_MM_H = 0.15  # base flow that never dries up, as run-off of the catchment
CELERITY_M_S = 2.0  # how fast a wave travels down the reach


@dataclass(frozen=True, slots=True)
class Flow:
    """Run-off of the catchment at one instant, as mm/h over its area."""

    first: float
    quick: float
    slow: float

    @property
    def total(self) -> float:
        return self.quick + self.slow + _BASE_MM_H


@dataclass(slots=True)
class River:
    """The flow at the head of the reach. `mean_rain_mm_h(t)` is the catchment's mean rain."""

    start: float
    mean_rain_mm_h: Callable[[float], float]
    _steps: list[Flow] = field(default_factory=lambda: [Flow(0.0, 0.0, 0.0)])

    def flow(self, t: float) -> Flow:
        """The flow at `t`; until a day before the world's start it is the base flow."""
        at = max(0.0, (t - self.start + _WARM_UP_S) / STEP_S)
        index = int(at)
        while len(self._steps) < index + 2:
            self._steps.append(self._next(self._steps[-1], len(self._steps)))
        a, b, part = self._steps[index], self._steps[index + 1], at - index
        return Flow(
            a.first + (b.first - a.first) * part,
            a.quick + (b.quick - a.quick) * part,
            a.slow + (b.slow - a.slow) * part,
        )

    def forget_after(self, t: float) -> None:
        """Drop what was computed for later than `t`, because the rain to come has changed."""
        keep = max(1, int((t - self.start + _WARM_UP_S) / STEP_S) + 2)
        del self._steps[keep:]

    def _next(self, now: Flow, step: int) -> Flow:
        # The rain at the step's beginning: so a storm changes nothing before it has begun.
        rain = self.mean_rain_mm_h(self.start - _WARM_UP_S + (step - 1) * STEP_S)
        quick_gain = 1 - math.exp(-STEP_S / _QUICK_S)
        slow_gain = 1 - math.exp(-STEP_S / _SLOW_S)
        return Flow(
            now.first + (_QUICK_SHARE * rain - now.first) * quick_gain,
            now.quick + (now.first - now.quick) * quick_gain,
            now.slow + (_SLOW_SHARE * rain - now.slow) * slow_gain,
        )


def depth_m(flow_mm_h: float) -> float:
    """Water depth from flow: a rating curve of a small lowland river (base 0.6 m, storm 2-4 m)."""
    return 0.45 + 0.36 * math.pow(flow_mm_h, 0.6)
