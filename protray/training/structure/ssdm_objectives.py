"""The losses of SSDM's objectives on a micro-batch, as sums.

A step adds the sums of its micro-batches and workers up, and divides each by its count in the whole step
(`MicroBatch.counts`, known before the first pass): no number of either changes the result.

Shape key:  B proteins   L residues, padded   K neighbours   C channels   A 14 atoms   N targets   3 x, y, z in Å
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from protray.losses.contrast import found_partner
from protray.losses.diffusion import (
    FRAME_ZERO_LOSS,
    as_vectors,
    noise_levels,
    pair_target,
    pair_zero_loss,
    pairs_of,
    vector_loss,
)
from protray.losses.self_prediction import bin_of, class_loss, distance_loss
from protray.models.joint.objective_heads import ObjectiveHeads
from protray.models.structure.neighbours import Neighbours, find_neighbours
from protray.models.structure.structure_batch import StructureBatch, mean_of_real
from protray.struct.residues.atom14 import CA
from protray.struct.residues.frames import frames
from protray.struct.residues.torsions import angle, dihedral, turn_side_chains
from protray.training.progress import added
from protray.training.structure.ssdm_batches import MicroBatch, hidden
from protray.training.structure.ssdm_config import SELF_PREDICTION, ObjectiveConfig
from protray.training.structure.ssdm_contrast import Pull, Views, contrast_term, pulled_term, pulls
from protray.training.world import World

Encoder = Callable[[StructureBatch, Neighbours | None], Tensor]
Losses = dict[str, tuple[Tensor, float]]  # sum, and over how much


def objective_losses(
    encoder: Encoder,
    heads: ObjectiveHeads,
    batch: MicroBatch,
    config: ObjectiveConfig,
    neighbours: int,
    world: World = World(),  # noqa: B008  (frozen)
    pull: Pull | None = None,
    report: bool = False,
) -> Losses:
    """Sum and count of each of `config.terms()`; with `report`, of measures beside them, whose names have a slash.

    Residues, distances, angles and dihedrals share one pass of the encoder; the contrast and SiamDiff take two each,
    denoising one.  `neighbours` are those of a residue.

    Parameters
    ----------
    world : World
        All workers, for the contrast in training; its default contrasts the proteins of this micro-batch alone.
    pull : Pull, optional
        Of `contrast_pulls`, where a worker's step has several micro-batches.

    Raises
    ------
    ValueError
        If the batch has vectors of a language model that give an answer away.
    """
    if batch.crops.lm_BLC is not None:
        config.check_stored_vectors()
    terms, found = config.terms(), {}
    if terms.keys() & set(SELF_PREDICTION):
        found |= _self_prediction(encoder, heads, batch, config, neighbours, report)
    if "contrast" in terms:
        views = _contrast_vectors(encoder, heads, batch, neighbours)
        found["contrast"] = pulled_term(views, pull) if pull else contrast_term(views, batch.cluster_B, config, world)
        if report:
            found["contrast/partner_found"] = found_partner(*views, batch.cluster_B).sum(), len(views[0])
    if "denoise" in terms:
        found |= _denoise(encoder, heads, batch, config, neighbours, report)
    if "siamdiff" in config.objective:
        found |= _siamdiff(encoder, heads, batch, config, neighbours, report)
    return found


def step_loss(found: Losses, counts: Mapping[str, float], config: ObjectiveConfig) -> Tensor:
    """What a micro-batch adds to the loss of a step, whose `counts` are those of all its micro-batches and workers.

    Gradients are to be added up over workers (`World.add`); where they are averaged, as by DDP, multiply by their
    number.
    """
    return sum(
        (weight * found[term][0] / max(counts[term], 1) for term, weight in config.terms().items()), torch.zeros(())
    )


def contrast_pulls(
    encoder: Encoder,
    heads: ObjectiveHeads,
    batches: list[MicroBatch],
    config: ObjectiveConfig,
    neighbours: int,
    world: World = World(),  # noqa: B008  (frozen)
) -> list[Pull] | list[None]:
    """What the contrast needs beforehand of this worker's share of a step: nothing for a single micro-batch."""
    if "contrast" not in config.terms() or len(batches) == 1:
        return [None] * len(batches)
    vectors = [lambda batch=batch: _contrast_vectors(encoder, heads, batch, neighbours) for batch in batches]
    return pulls(vectors, [batch.cluster_B for batch in batches], config, world)


def _near(batch: StructureBatch, neighbours: int, removed_M3: Tensor | None = None) -> Neighbours:
    return find_neighbours(batch.ca_BL3, batch.index_BL, batch.chain_BL, batch.real_BL, neighbours, removed_M3)


def _self_prediction(
    encoder: Encoder, heads: ObjectiveHeads, batch: MicroBatch, config: ObjectiveConfig, neighbours: int, report: bool
) -> Losses:
    z_BLC = encoder(hidden(batch.crops, batch.masked_N), _near(batch.crops, neighbours, batch.removed_M3))
    z_XC, ca_X3 = z_BLC.flatten(0, 1), batch.crops.ca_BL3.flatten(0, 1)
    z_SNC = [z_XC[place_N] for place_N in batch.paths_NS.unbind(dim=1)]
    ca_SN3 = [ca_X3[place_N] for place_N in batch.paths_NS.unbind(dim=1)]
    found: Losses = {}

    def classes(term: str, logit_NA: Tensor, true_N: Tensor) -> None:
        found[term] = class_loss(logit_NA, true_N)
        if report:
            found[f"{term}/accuracy"] = (logit_NA.argmax(dim=1) == true_N).sum(), len(true_N)

    for term in config.terms():
        if term == "residue":
            classes(term, heads(term, z_XC[batch.masked_N]), batch.crops.type_BL.flatten()[batch.masked_N])
        elif term == "distance":
            distance_N = (ca_SN3[0] - ca_SN3[1]).norm(dim=-1)
            found[term] = distance_loss(heads(term, *z_SNC[:2]).squeeze(1), distance_N)
        elif term == "angle":
            true_N = bin_of(angle(*ca_SN3[:3]), config.angle_bins, signed=False)
            classes(term, heads(term, *z_SNC[:3]), true_N)
        elif term == "dihedral":
            true_N = bin_of(dihedral(*ca_SN3[:4]), config.dihedral_bins, config.signed)
            classes(term, heads(term, *z_SNC[:4]), true_N)
    return found


def _contrast_vectors(encoder: Encoder, heads: ObjectiveHeads, batch: MicroBatch, neighbours: int) -> Views:
    one, other = (
        heads("contrast", mean_of_real(encoder(view, _near(view, neighbours, removed_M3)), view.real_BL))
        for view, removed_M3 in zip(batch.views, batch.view_removed_M3, strict=True)
    )
    return one, other


def _sigma(batch: MicroBatch, config: ObjectiveConfig) -> Tensor:
    atoms_BLA3 = batch.crops.atoms_BLA3
    return torch.from_numpy(noise_levels(config.levels)).to(atoms_BLA3)[batch.level_B]


def _noisy(batch: StructureBatch, noise_BLA3: Tensor, sigma_B: Tensor) -> StructureBatch:
    """Every atom moved by itself: frames and side chains in them are those of the noisy atoms."""
    moved_BLA3 = batch.atoms_BLA3 + sigma_B[:, None, None, None] * noise_BLA3
    return replace(batch, atoms_BLA3=moved_BLA3 * batch.present_BLA[..., None])


def _denoise(
    encoder: Encoder, heads: ObjectiveHeads, batch: MicroBatch, config: ObjectiveConfig, neighbours: int, report: bool
) -> Losses:
    noise_BLA3 = batch.noise_VBLA3[0]
    noisy = _noisy(batch.crops, noise_BLA3, _sigma(batch, config))
    z_BLC = encoder(noisy, _near(batch.crops, neighbours))
    of_atoms = frames(noisy.atoms_BLA3, noisy.present_BLA, noisy.index_BL, noisy.chain_BL, noisy.real_BL)
    found_BL3 = heads("denoise", z_BLC, of_atoms.rotation_BL33)
    loss_B = vector_loss(found_BL3, noise_BLA3[:, :, CA], batch.asked_BL)
    zero_B = FRAME_ZERO_LOSS * batch.asked_BL.any(dim=1)
    found: Losses = {"denoise": (loss_B.sum(), len(loss_B))}
    return found | _of_levels("denoise", loss_B, zero_B, batch.level_B) if report else found


def _second_view(first: StructureBatch, batch: MicroBatch, config: ObjectiveConfig) -> StructureBatch:
    """All atoms moved by a little, or the torsions of the side chains turned."""
    if batch.turn_BL5 is None:
        assert batch.shift_BLA3 is not None
        return _noisy(first, batch.shift_BLA3, torch.full_like(batch.shift_BLA3[:, 0, 0, 0], config.view_noise))
    turn_BL5 = torch.pi * config.view_turn * batch.turn_BL5
    turned_BLA3 = turn_side_chains(batch.crops.type_BL, first.atoms_BLA3, first.present_BLA, turn_BL5)
    return replace(first, atoms_BLA3=turned_BLA3)


def _siamdiff(
    encoder: Encoder, heads: ObjectiveHeads, batch: MicroBatch, config: ObjectiveConfig, neighbours: int, report: bool
) -> Losses:
    """Two views that differ by a little, each with its own noise; the noise of one from the vectors of the other."""
    first, sigma_B = hidden(batch.crops, batch.hidden_N), _sigma(batch, config)
    near = _near(batch.crops, neighbours)
    idx_BLK = near.idx_BLK
    self_L1 = torch.arange(idx_BLK.shape[1], device=idx_BLK.device)[:, None]
    kept_BLK = near.ok_BLK & (idx_BLK != self_L1)
    clean = [first, _second_view(first, batch, config)]
    noisy = [_noisy(view, noise_BLA3, sigma_B) for view, noise_BLA3 in zip(clean, batch.noise_VBLA3, strict=True)]
    vectors = [encoder(view, near) for view in noisy]
    terms, found = config.terms(), {}
    for number, (before, after) in enumerate(zip(clean, noisy, strict=True)):
        z_BLC = vectors[1 - number if config.cross else number]
        of_view: Losses = {}
        if "siamdiff_structure" in terms:
            noisy_BLK, unit_BLK3 = pairs_of(after.ca_BL3, idx_BLK)
            target_BLK = pair_target(pairs_of(before.ca_BL3, idx_BLK)[0], noisy_BLK, sigma_B)
            amount_BLK = heads("siamdiff_structure", z_BLC, idx_BLK, noisy_BLK)
            loss_B = vector_loss(
                as_vectors(amount_BLK, unit_BLK3, kept_BLK), as_vectors(target_BLK, unit_BLK3, kept_BLK), batch.asked_BL
            )
            of_view["siamdiff_structure"] = loss_B.sum() / 2, len(loss_B) / 2
            if report:
                zero_B = pair_zero_loss(unit_BLK3, kept_BLK, batch.asked_BL)
                of_view |= _of_levels("siamdiff_structure", loss_B, zero_B, batch.level_B)
        if "siamdiff_sequence" in terms:
            logit_NA = heads("siamdiff_sequence", z_BLC.flatten(0, 1)[batch.hidden_N])
            true_N = batch.crops.type_BL.flatten()[batch.hidden_N]
            of_view["siamdiff_sequence"] = class_loss(logit_NA, true_N)[0] / 2, len(true_N) / 2
            if report:
                of_view["siamdiff_sequence/accuracy"] = (logit_NA.argmax(dim=1) == true_N).sum(), len(true_N)
        if report:
            of_view |= {f"{term}/view_{number + 1}": of_view[term] for term in terms if term in of_view}
        found = added(found, of_view)
    return found


def _of_levels(term: str, loss_B: Tensor, zero_B: Tensor, level_B: Tensor) -> Losses:
    """Losses, and those of an answer of zero in place of a count, in all and of each level that occurs."""
    found: Losses = {f"{term}/over_zero": (loss_B.detach().sum(), float(zero_B.sum()))}
    for level in level_B.unique().tolist():
        of_B = level_B == level
        found[f"{term}/over_zero/level_{level:02d}"] = loss_B.detach()[of_B].sum(), float(zero_B[of_B].sum())
    return found
