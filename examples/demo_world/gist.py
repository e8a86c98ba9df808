"""Train a gist head for the demo model: `python -m examples.demo_world.gist [--ship]`.

It learns from questions over one passage of training towns, of which the model sees vectors alone.
Everything is seeded; minutes are processor time; `--resume` goes on from the last checkpoint. The
best head measured is `head.safetensors` in the run's folder; `--ship` puts it beside the model.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, LlamaForCausalLM

from examples.demo_world.evaluate import SHIPPED
from examples.demo_world.kernels import compile_all
from examples.demo_world.memory import Memories, draw, with_vectors
from examples.demo_world.model import answers_loss
from examples.demo_world.phrasing import FUNCTION_WORDS, LEANING, NAMED
from examples.demo_world.stages import ABSENT, FIRST, LEVEL1, Kind
from examples.demo_world.tokenizer import Encoder
from examples.demo_world.town import Split
from examples.gist.run import Plan, Run
from examples.gist.worth import pointing_loss, targets, worth
from ramify.backend.radix.gist.head import PLACE
from ramify.backend.radix.gist.resampler import Resampler
from ramify.demo.world import ASPECTS

RATIOS = (2.0, 3.0)
DEV_SCENES = 16
KINDS = (Kind("ask", FIRST, 0.2), Kind("ask", LEVEL1, 0.5), Kind("ask", ABSENT, 0.3))


def _words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}


def worths(encoder: Encoder) -> dict[int, float]:
    """What tokens that are whole words are worth: the aspects' own words 3, the other words of the
    wordings 2, function words nothing."""
    frames = [text for table in (NAMED, LEANING) for own in table.values() for text in own]
    of = dict.fromkeys(_words(re.sub(r"\{.\}", "", text) for text in frames), 2.0)
    of |= dict.fromkeys(_words(f"{one.title} {one.key}" for one in ASPECTS), 3.0)
    of |= dict.fromkeys(FUNCTION_WORDS, 0.0)
    spelled = {f" {form}": value for word, value in of.items() for form in (word, word.title())}
    return {ids[0]: value for text, value in spelled.items() if len(ids := encoder(text)) == 1}


class Scenes:
    """The demo world as what a head learns from: see `examples.gist.run.Source`."""

    def __init__(self, model: LlamaForCausalLM, encoder: Encoder, args: argparse.Namespace) -> None:
        self.model, self.encoder, self.args = model, encoder, args
        self.worths = worths(encoder)

    def _draw(self, rng: random.Random, kind: Kind, split: Split, ratio: float) -> Memories:
        count, asks = (DEV_SCENES, 10) if split == "dev" else (self.args.scenes, self.args.asks)
        return draw(rng, self.encoder, kind, split, count, ratio, self.args.limits, asks)

    def _step(self, step: int) -> Memories:
        rng = random.Random(f"{self.args.seed}/{step}")
        kind = rng.choices(KINDS, [kind.weight for kind in KINDS])[0]
        return self._draw(rng, kind, "train", rng.choice(RATIOS))

    def pointing(self, resampler: Resampler, step: int) -> Tensor:
        """At values, at the words of their aspects, at the town's name."""
        data = self._step(step)
        states, _, sizes, counts = data.read(self.model, resampler)
        wanted, left = [], list(data.counts)
        for own, values in zip(data.parts, data.values, strict=True):
            for part in own:
                wanted.append(targets(worth(part, values, self.worths), left.pop(0)))
        return pointing_loss(resampler.read(states, sizes, counts)[1], wanted)

    def answering(self, resampler: Resampler, step: int) -> Tensor:
        """The loss of a few questions over each passage."""
        data = self._step(step)
        lean = with_vectors(self.model, data.vectors(self.model, resampler))
        losses, weight, _ = answers_loss(lean, data.batch)
        return losses / weight

    @torch.no_grad()
    def check(self, resampler: Resampler) -> dict[str, float]:
        """Exact answers over dev towns, for each ratio and kind."""
        scores = {}
        for ratio in RATIOS:
            for kind in KINDS:
                data = self._draw(random.Random(f"dev/{kind.name}"), kind, "dev", ratio)
                lean = with_vectors(self.model, data.vectors(self.model, resampler))
                _, _, exact = answers_loss(lean, data.batch)
                scores[f"{kind.name} {ratio:g}"] = round(exact.float().mean().item(), 3)
        return scores


def main() -> None:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--model", type=Path, default=SHIPPED)
    cli.add_argument("--minutes", type=float, default=12.0, help="processor time of this call")
    cli.add_argument("--run", type=Path, default=Path("runs/gist"), help="its folder")
    cli.add_argument("--resume", action="store_true", help="go on from the run's checkpoint")
    cli.add_argument("--scenes", type=int, default=8, help="passages per step")
    cli.add_argument("--asks", type=int, default=4, help="questions over each, at most")
    cli.add_argument("--pointing", type=int, default=200, help="steps that teach pointers alone")
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--ship", action="store_true", help="put the head beside the model")
    cli.add_argument("--compile", action="store_true", help="compiled kernels, for longer runs")
    args = cli.parse_args()
    torch.set_num_threads(1)
    if args.compile:
        compile_all()
    model = LlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    model.requires_grad_(False).eval()
    source = Scenes(model, Encoder(AutoTokenizer.from_pretrained(args.model)), args)
    plan = Plan(args.minutes, RATIOS, pointing=args.pointing, seed=args.seed)
    run = Run(args.run, model, source, plan)
    args.limits = (run.resampler.shape.reach, run.resampler.shape.slots)
    if args.resume:
        run.resume()
    run.train()
    if args.ship:
        place = args.model / PLACE
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(args.run / "head.safetensors", place)
        print(f"shipped to {place}")


if __name__ == "__main__":
    main()
