"""What ends a training for good: trained again from the same state, it would end in the same way."""

import math


class NonFiniteLossError(FloatingPointError):
    """A loss or a gradient became NaN or infinite; no weight was changed by it."""

    @classmethod
    def at(cls, where: str, what: str, last: float = math.nan) -> "NonFiniteLossError":
        """Say where it happened (the step, or epoch and batch), what happened, and the last loss that was finite."""
        before = "no loss before it was finite" if math.isnan(last) else f"the last finite loss was {last:.6g}"
        return cls(f"{where}: {what}; {before}")
