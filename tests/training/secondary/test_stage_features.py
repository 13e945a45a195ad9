from dataclasses import replace

from tiny import FEATURES, tiny_stages

from protray.losses.weights import DistilWeights
from protray.training.secondary.stage_features import stage_keys
from protray.training.secondary.stages import Stage


def keys_of(
    plan: dict[str, Stage], data: str = "data", lm: str = "lm", unlabelled: str | None = None, **features: object
) -> dict[str, str]:
    return stage_keys(list(plan.values()), data, lm, replace(FEATURES, **features), unlabelled)  # type: ignore[arg-type]


def changed(plan: dict[str, Stage] | None = None, **inputs: object) -> set[str]:
    """The stages that have another key than those of the plain plan."""
    before, after = keys_of(tiny_stages()), keys_of(plan or tiny_stages(), **inputs)  # type: ignore[arg-type]
    return {name for name, key in after.items() if key != before[name]}


OURS = {"protray", "w/o BERT", "w/o CL", "w/o MSE"}
EVERY = set(tiny_stages())


def test_keys_change_with_whatever_the_result_depends_on() -> None:
    assert changed() == set()
    assert changed(data="others") == changed(background="fixed") == changed(seed=5) == EVERY
    assert changed(tiny_stages(epochs=3)) == EVERY
    plan = tiny_stages()
    plan["teacher"] = replace(plan["teacher"], networks=tiny_stages(epochs=3)["teacher"].networks)
    assert changed(plan) == {"teacher"} | OURS  # which take the teacher
    plan = tiny_stages()
    plan["Bagging enhancer"] = replace(plan["Bagging enhancer"], networks=tiny_stages(epochs=3)["teacher"].networks)
    assert changed(plan) == {"Bagging enhancer", "Bagging"}


def test_keys_keep_what_the_result_does_not_depend_on() -> None:
    """Weights of Eq. 9 are ours alone, but for the form of Eq. 8, which Bagging's enhancer learns by; and so on."""
    assert changed(tiny_stages(DistilWeights(alpha=0.5))) == OURS
    assert changed(tiny_stages(DistilWeights(l2=True))) == OURS | {"Bagging enhancer", "Bagging"}
    assert changed(fixed_ratio=0.2) == {"Bagging enhancer", "Bagging"}
    assert changed(kept_deep=0.5) == OURS | {"Real + down-sampling"}
    assert changed(unlabelled="families") == OURS
    assert changed(lm="another") == changed(drawing="expected") == (OURS - {"w/o BERT"}) | {"Real + LM"}


def test_stages_of_one_run_have_keys_of_their_own() -> None:
    assert len(set(keys_of(tiny_stages()).values())) == len(EVERY)
