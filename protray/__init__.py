"""protray: protein models on low-homology alignments and on structures, trained on Ray.

Shape key, used as a suffix of every array (``msa_NL``, ``pssm_BLA``, ``coords_L43``):

====  =========================================
``B``  proteins in a batch
``N``  aligned sequences, the query is row 0
``L``  residues
``A``  the 20 amino acids, in the order ``protray.seq.alphabet.AMINO_ACIDS``
``S``  secondary-structure states
``K``  noise levels
``C``  channels
``E``  edges
``W``  window
``3``  x, y, z
====  =========================================

Units: Å, radians, nats, probabilities (never percent).  Masks are bool and True means real.
"""

__version__ = "0.1.0"
