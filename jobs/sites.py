"""Train networks that find where proteins touch other proteins, with and without embeddings, and compare them.

    python jobs/sites.py                                                  # chains of complexes in the package
    python jobs/sites.py --model runs/score_net/model --out runs/score    # a score network's embeddings
    python jobs/sites.py --data complexes/ --out runs/mine                # PDB or mmCIF files with several chains

The network is DeepPPISP's (Zeng et al., 2020).  The same command again continues where it was stopped, and costs
nothing once it has finished.
"""

import sys

from protray.cluster.train.command import training_command
from protray.pipelines.tasks.sites.training import JOB, SitesRun

if __name__ == "__main__":
    sys.exit(training_command(JOB, SitesRun, __doc__))
