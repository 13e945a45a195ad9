"""What SSDM's pre-training taught an encoder: its objectives on held-out chains, nearest chains, denoising.

Shape key:  N chains   L residues   A 14 atoms   B crops   3 x, y, z in Å
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from protray.data.location import Location
from protray.data.structure.atom_batches import collate
from protray.data.structure.atoms import AtomStructures, read_atoms
from protray.evaluation.bootstrap import interval
from protray.evaluation.ssdm import TRAINED, UNTRAINED, Denoised, SsdmResults
from protray.inference.embeddings.structure_encoder import StructureEncoder
from protray.inference.nearest_folds import folds, retrieval
from protray.losses.diffusion import noise_levels
from protray.losses.self_prediction import MIDDLE, SPREAD, bin_of
from protray.models.structure.neighbours import find_neighbours
from protray.models.weight_files import load_weights
from protray.seq.alphabet import N_AA, decode
from protray.seq.keyed import generator
from protray.struct.compare.quality import ca_lddt, ca_rmsd
from protray.struct.residues.atom14 import BACKBONE
from protray.struct.residues.frames import frames
from protray.struct.residues.torsions import angle, dihedral
from protray.training.structure.ssdm import Pretrained, evaluate, numbers, validation_batches
from protray.training.structure.ssdm_batches import MicroBatch
from protray.training.structure.ssdm_config import ObjectiveConfig, SsdmFitConfig
from protray.training.structure.ssdm_draws import validation
from protray.training.structure.ssdm_export import HEADS
from protray.training.structure.ssdm_objectives import objective_losses

TEST_CHAINS = 500  # those with the smallest hashes of their ids
SHOWN = 1.0  # Å: about the noise of the structures that are drawn
CROP_TERMS = ("residue", "distance", "angle", "dihedral")


def measure(
    folder: Location, untrained: Location, data: Location | None, labels: Location | None, learn: ObjectiveConfig,
    settings: SsdmFitConfig, device: str = "cpu",
) -> SsdmResults:  # fmt: skip
    """Measure the encoder in `folder` on the test split, or the validation split where there is no other.

    On `TEST_CHAINS` at most, whatever the curve of the training was measured on.
    """
    settings = replace(settings, validation_chains=TEST_CHAINS)
    split, chains = held_out(data, learn.shortest_chain())
    trained, before = StructureEncoder.open(folder, device), StructureEncoder.open(untrained, device)
    neighbours = trained.card.config.net.neighbours
    batches = validation_batches(chains, learn, settings, neighbours)
    nets = {TRAINED: with_heads(trained, folder, learn), UNTRAINED: with_heads(before, untrained, learn)}
    found = {name: evaluate(net.to(device), batches, learn, neighbours) for name, net in nets.items()}
    partner = {name: losses["contrast/partner_found"] for name, losses in found.items() if "contrast" in learn.terms()}
    return SsdmResults(
        split=split,
        chains=sum(len(batch.level_B) for batch in batches),
        losses=found[TRAINED],
        nothing=nothing_known(batches, learn),
        levels=noise_levels(learn.levels),
        retrieval=retrieval(read_atoms(data), folds(data, labels), {TRAINED: trained, UNTRAINED: before}),
        partner=partner,
        denoised=denoised(nets[TRAINED], chains, learn, device) if "denoise" in learn.terms() else None,
        ends=intervals(nets[TRAINED], chains, learn, settings, neighbours, device),
    )


def held_out(data: Location | None, least: int) -> tuple[str, AtomStructures]:
    """The test split; without a chain of `least` residues in it, the validation split, which picked the weights."""
    try:
        chains = read_atoms(data, "test")
    except ValueError:  # no chain at all
        chains = None
    if chains is not None and (chains.lengths >= least).any():
        return "test", chains
    return "validation", read_atoms(data, "validation")


@torch.no_grad()
def intervals(
    net: Pretrained, chains: AtomStructures, learn: ObjectiveConfig, settings: SsdmFitConfig, neighbours: int,
    device: str = "cpu",
) -> dict[str, tuple[float, float]]:  # fmt: skip
    """95 % of each loss and measure, over clusters; a chain has none of the contrast by itself."""
    alone = tuple(name for name in learn.objective if name != "contrast" and getattr(learn.weights, name))
    if not alone:
        return {}
    chains = chains.select(np.flatnonzero(chains.lengths >= learn.shortest_chain()))
    learn, settings = replace(learn, objective=alone), replace(settings, batch=1, micro_batch=1)
    visits = [visit for (visit,) in validation(chains.ids, chains.lengths, settings, learn)]
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))  # sums, and counts, of clusters
    counted: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for visit, batch in zip(visits, validation_batches(chains, learn, settings, neighbours), strict=True):
        losses = objective_losses(net.model, net.heads, batch.to(device), learn, neighbours, report=True)
        cluster = chains.clusters[visit.row] or chains.ids[visit.row]
        for name, (total, count) in numbers(losses).items():
            if count:
                found[name][cluster] += total
                counted[name][cluster] += count
    return {name: _interval(found[name], counted[name]) for name in found}


def _interval(sum_of: Mapping[str, float], count_of: Mapping[str, float]) -> tuple[float, float]:
    sum_C, count_C = (np.array(list(of.values())) for of in (sum_of, count_of))
    return interval(sum_C / count_C, weights_B=count_C)


def with_heads(encoder: StructureEncoder, folder: Location, learn: ObjectiveConfig) -> Pretrained:
    """The encoder with the heads of its objectives."""
    net = Pretrained(encoder.net, learn)
    load_weights(net.heads, Location(folder).fetch() / HEADS)
    return net


def nothing_known(batches: Sequence[MicroBatch], learn: ObjectiveConfig) -> dict[str, float]:
    """The loss of one answer for all targets, the best one: entropy of their classes, or their variance."""
    seen: dict[str, list[torch.Tensor]] = {term: [] for term in learn.terms() if term in CROP_TERMS}
    for batch in batches:
        ca_X3 = batch.crops.ca_BL3.flatten(0, 1)
        ca_SN3 = [ca_X3[place_N] for place_N in batch.paths_NS.unbind(dim=1)]
        for term, parts in seen.items():
            if term == "residue":
                parts.append(batch.crops.type_BL.flatten()[batch.masked_N])
            elif term == "distance":
                parts.append(((ca_SN3[0] - ca_SN3[1]).norm(dim=-1) - MIDDLE) / SPREAD)
            elif term == "angle":
                parts.append(bin_of(angle(*ca_SN3[:3]), learn.angle_bins, signed=False))
            else:
                parts.append(bin_of(dihedral(*ca_SN3[:4]), learn.dihedral_bins, learn.signed))
    found = {}
    for term, parts in seen.items():
        values = torch.cat(parts)
        if not len(values):
            continue
        found[term] = float(values.var(correction=0)) if term == "distance" else _entropy(values.numpy())
    return found


def _entropy(class_N: np.ndarray) -> float:
    share = np.bincount(class_N, minlength=N_AA) / len(class_N)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())


@torch.no_grad()
def denoised(net: Pretrained, chains: AtomStructures, learn: ObjectiveConfig, device: str) -> Denoised:
    """The first held-out chain of medium length, with noise near 1 Å and after one step, x - s eps(x)."""
    levels = noise_levels(learn.levels)
    sigma = float(levels[np.abs(levels - SHOWN).argmin()])
    m = int(np.abs(chains.lengths - np.median(chains.lengths)).argmin())
    chain, width = chains.chain(m), len(BACKBONE)
    noise_LA3 = generator("shown", chain.id).standard_normal(chain.atoms_LA3.shape, np.float32)
    noisy = replace(chain, atoms_LA3=(chain.atoms_LA3 + sigma * noise_LA3) * chain.present_LA[..., None])
    batch = collate([noisy]).to(device)
    of_chain = (batch.index_BL, batch.chain_BL, batch.real_BL)
    near = find_neighbours(batch.ca_BL3, *of_chain, net.model.config.net.neighbours)  # training knew the native ones
    framed = frames(batch.atoms_BLA3, batch.present_BLA, *of_chain)
    found_L3 = net.heads("denoise", net.eval().model(batch, near), framed.rotation_BL33)[0].cpu().numpy()
    backbones = {"native": chain.atoms_LA3[:, :width].copy(), "noisy": noisy.atoms_LA3[:, :width]}
    backbones["denoised"] = backbones["noisy"] - sigma * found_L3[:, None]
    lost_L4 = ~chain.present_LA[:, :width]
    for backbone_L43 in backbones.values():
        backbone_L43[lost_L4] = np.nan  # and are not drawn
    ca = {name: backbone_L43[None, :, 1] for name, backbone_L43 in backbones.items()}
    return Denoised(
        chain.id, sigma, decode(chain.codes_L), backbones,
        off={name: np.linalg.norm(ca_1L3[0] - ca["native"][0], axis=1) for name, ca_1L3 in ca.items()},
        rmsd={name: float(ca_rmsd(ca_1L3, ca["native"])[0]) for name, ca_1L3 in ca.items()},
        lddt={name: float(ca_lddt(ca_1L3, ca["native"])[0]) for name, ca_1L3 in ca.items()},
    )  # fmt: skip
