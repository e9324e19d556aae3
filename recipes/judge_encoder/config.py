"""The settings of `miniend judge-encoder`; without torch."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.local_names import path_or_name, path_or_url
from ...runtime.options import check, option


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeEncoderConfig:
    """The options of `miniend judge-encoder`."""

    model: str = option(
        section="essential",
        metavar="PATH_OR_NAME",
        local=path_or_name,
        help="Folder or hub name of a student, of a saved ProjectedT5Encoder, or of any T5-family checkpoint, whose encoder is "
        "judged.",
    )
    cache: str | Path = option(
        section="essential",
        metavar="PATH",
        local=path_or_url,
        help="Directory or URL of a finished cache that holds encoder.final. Its validation texts are read.",
    )
    examples: int | None = option(
        None, section="speed", least=2, shown="all", help="Validation texts to read, from the front."
    )
    batch_size: int = option(32, section="speed", least=1, help="Texts that the encoder reads at once.")
    device: str = option("auto", section="speed", help="auto, cpu, cuda or cuda:N.")
    as_json: bool = option(False, section="essential", flag="--json", help="Print one JSON object.")

    def __post_init__(self) -> None:
        check(self)
