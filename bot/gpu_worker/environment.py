"""What a GPU worker has in its environment, and what of that the process sees that trains. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# Of the App on GitHub. Nobody who trains needs them, so nobody who trains has them.
CREDENTIALS: Final = (
    "ASSAY_APP_ID",
    "ASSAY_PRIVATE_KEY",
    "ASSAY_PRIVATE_KEY_FILE",
    "ASSAY_WEBHOOK_SECRET",
    "ASSAY_WEBHOOK_SECRET_FILE",
    "ASSAY_PREVIOUS_WEBHOOK_SECRET",
    "ASSAY_CLIENT_ID",
    "ASSAY_CLIENT_SECRET",
)

_PASSED_ON: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR|LD_LIBRARY_PATH|XDG_(CACHE|CONFIG)_HOME"
    r"|(OMP|MKL|OPENBLAS)_NUM_THREADS"
    r"|(CUDA|NVIDIA|NCCL|ROCR|HIP|PYTORCH|TORCH|TORCHINDUCTOR|TRITON)_[A-Z0-9_]+"  # the device
    r"|(AWS|GOOGLE|GCLOUD|GCSFS|AZURE|FSSPEC)_[A-Z0-9_]+"  # the store of the artifacts
    r"|HF_[A-Z0-9_]+"  # the hub of the models
    r"|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
)


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What is known to be needed to compute, to load a model and to reach the artifacts; nothing else."""
    return {name: value for name, value in environment.items() if _PASSED_ON.fullmatch(name)}


def credentials_in(environment: Mapping[str, str]) -> list[str]:
    """Names of what does not belong on a GPU worker."""
    return [name for name in CREDENTIALS if environment.get(name)]
