"""What axes of all figures have in common."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plain(ax: "Axes") -> None:
    """A faint grid, and lines to the left and below alone."""
    ax.grid(alpha=0.3)
    ax.spines[["right", "top"]].set_visible(False)
