import pytest

from protray.plots.language_model.pretraining import pretraining_figure


def test_lines_are_the_reports_and_the_baseline() -> None:
    names = ("train/hidden_perplexity", "validation/perplexity")
    history = [{"step": step, names[0]: 20 - step, names[1]: 19 - step} for step in (1, 2, 3)]
    [ax] = pretraining_figure(history, baseline=18.1).axes
    train, validation, baseline = ax.lines
    assert train.get_xdata() == pytest.approx([1, 2, 3])
    assert train.get_ydata() == pytest.approx([19, 18, 17])
    assert validation.get_ydata() == pytest.approx([18, 17, 16])
    assert set(baseline.get_ydata()) == {18.1}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "perplexity")
