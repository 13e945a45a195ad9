"""Colours of every figure: those of Okabe and Ito, which readers with any colour vision can tell apart."""

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, BLACK, GREY = "#56B4E9", "#CC79A7", "#000000", "#8A8A8A"

CYCLE = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, BLACK, GREY)
STATES = {"H": VERMILION, "E": BLUE, "C": GREY}

_GROUPS = {"AVLIMCFW": BLACK, "GP": ORANGE, "STNQYH": GREEN, "KR": BLUE, "DE": VERMILION}
RESIDUES = {residue: colour for residues, colour in _GROUPS.items() for residue in residues}
