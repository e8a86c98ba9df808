"""The engine: requests in, steps of the model, tokens out. No thread, no clock: see `worker`."""

from __future__ import annotations

from dataclasses import asdict

import torch
from torch import Tensor

from ramify.backend.radix.answer import Answer
from ramify.backend.radix.batch import Asked, Wanted, inputs_of
from ramify.backend.radix.draft import Drafter
from ramify.backend.radix.jobs import Generation, Job, Scoring, Warming
from ramify.backend.radix.metrics import Metrics, Snapshot
from ramify.backend.radix.model import LanguageModel, Step
from ramify.backend.radix.sampler import Choice, Largest, choose, no_numbers
from ramify.backend.radix.scheduler import Chunk, Scheduler
from ramify.backend.radix.sequence import Sequence
from ramify.errors import BackendError


class Engine:
    """Runs all jobs to their end, step by step."""

    def __init__(
        self, model: LanguageModel, scheduler: Scheduler, drafter: Drafter | None = None
    ) -> None:
        self.model = model
        self.scheduler = scheduler
        self.drafter = drafter
        self.jobs: dict[Job, None] = {}  # in order of submission
        self.metrics = Metrics()
        self._held = 0  # slots that finished branches would still hold if they were not freed

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.jobs)

    def submit(self, job: Job) -> None:
        """Take a job in. Its prompt is not empty, and it fits the context and the pool."""
        if isinstance(job, Scoring):
            if job.own is not None and job.start is not None and not job.own.supports:
                job.know(self.scheduler.cache.scored(job.own, job.start))
            if not job.live:
                job.finish()
                return
        self.jobs[job] = None
        for sequence in job.live:
            self.scheduler.submit(sequence)

    def cancel(self, job: Job) -> None:
        """Stop a job and free what it holds; nothing happens if it is done."""
        if job in self.jobs:
            self.metrics.cancelled += 1
            self._drop(job)

    def step(self) -> None:
        """Compute one step and give out what came of it."""
        if self.drafter is not None:
            self.drafter.prepare(self._going_on())
        chunks = self.scheduler.plan()
        if chunks:
            step, wanted = inputs_of(chunks)
            asked = self._ask(wanted)
            logits = self._compute(step, asked)
            self.scheduler.complete(chunks)
            steps = self._count(chunks, len(step.tokens))
            self._take(wanted, asked, logits)
            if self.drafter is not None and steps == len(chunks):
                self.drafter.measure(len(step.tokens))
        running = self.scheduler.running
        warm = [job for s in running if isinstance(job := s.job, Warming) and s.ready]
        for job in warm:
            self._end(job.sequence)
            job.finish()
            self.metrics.finished += 1
        if not chunks and not warm and self.jobs:
            raise RuntimeError("the scheduler makes no progress: a defect of the engine")

    def snapshot(self) -> Snapshot:
        """The state now."""
        scheduler, cache = self.scheduler, self.scheduler.cache
        host = cache.host
        return Snapshot(
            slots=cache.capacity, free=cache.slots.free, cached=cache.tree.evictable,
            running=len(scheduler.running), waiting=len(scheduler.waiting),
            asked=cache.asked, hits=cache.hits, evicted=cache.tree.evicted,
            host_slots=host.slots.capacity if host else 0,
            host_used=host.slots.used if host else 0,
            host_stored=host.stored if host else 0, host_loaded=host.loaded if host else 0,
            preempted=scheduler.preempted, **asdict(self.metrics),
        )  # fmt: skip

    def _ask(self, wanted: list[Wanted]) -> Asked:
        drafter = self._drafting
        asked = Asked([], [], [])
        for item in wanted:
            job = item.chunk.sequence.job
            if isinstance(job, Generation):
                answer, count = job.answers[item.chunk.sequence], item.last - item.first
                asked.answers.append((answer, count))
                asked.at += range(item.first, item.last)
                if drafter is None:
                    asked.rows.append(answer.sampling_row())
                else:
                    asked.rows += drafter.rows(answer, count)
        return asked

    def _compute(self, step: Step, asked: Asked) -> Tensor | Largest:
        """The step's logits, or only the largest where nobody wants to know more."""
        if 0 < len(asked.at) == len(step.wanted) and all(row.greedy for row in asked.rows):
            return self.model.largest(step)
        return self.model.forward(step)

    def _take(self, wanted: list[Wanted], asked: Asked, logits: Tensor | Largest) -> None:
        if isinstance(logits, Tensor):
            for item in wanted:
                if isinstance(job := item.chunk.sequence.job, Scoring):
                    self._take_scores(job, item, logits[item.first : item.last])
            if len(asked.at) < len(logits):
                logits = logits[asked.at]
        if not asked.answers:
            return
        drafter = self._drafting
        choices = choose(logits, asked.rows)
        first = 0
        for answer, count in asked.answers:
            self._advance(answer, choices[first : first + count], drafter)
            first += count

    @property
    def _drafting(self) -> Drafter | None:
        """Who has drafted something in this step."""
        return self.drafter if self.drafter is not None and not self.drafter.idle else None

    def _advance(self, answer: Answer, choices: list[Choice], drafter: Drafter | None) -> None:
        """Give an answer its next token, and those behind it as long as its draft was right."""
        if answer.job not in self.jobs:
            return  # another of its branches failed in this step
        sequence, accepted = answer.sequence, 0
        draft = drafter.drafted(answer) if drafter is not None else []
        row = answer.row
        while self._go_on(answer, choices[accepted]):
            if accepted + 1 == len(choices) or choices[accepted].token != draft[accepted]:
                break
            if answer.row is not row:
                break  # it has forked: what follows draws by other rules
            accepted += 1
            sequence.done += 1
        if drafter is not None:
            self.metrics.drafted += drafter.judge(answer, accepted)
            self.metrics.accepted += accepted
        if self.drafter is not None and answer.ended:
            self.drafter.forget(sequence)

    def _go_on(self, answer: Answer, choice: Choice) -> bool:
        """Give an answer a token, or end its request with what went wrong; whether it goes on."""
        job, error = answer.job, choice.error
        if error is None:
            try:
                taken = answer.take(choice)
            except BackendError as wrong:
                error = wrong
        if error is not None:
            self._fail(job, error)
            return False
        if taken.done:
            self._end_answer(answer)
        elif taken.child is not None:
            self.metrics.forks += 1
            self.scheduler.cache.share_tail(answer.sequence)
            self.scheduler.submit(taken.child.sequence)
        return not taken.done

    def _going_on(self) -> list[Answer]:
        """The answers whose next step is one token."""
        found = []
        for sequence in self.scheduler.running:
            job = sequence.job
            ready = sequence.length - sequence.done == 1 and sequence.ready
            if ready and isinstance(job, Generation):
                found.append(job.answers[sequence])
        return found

    def _end_answer(self, answer: Answer) -> None:
        """A branch is complete; the KV that is a child's own goes at once."""
        job, sequence = answer.job, answer.sequence
        keep = answer.parent is None or (job.rule is not None and job.rule.keep)
        if answer.parent is not None:
            job.held += max(0, sequence.held - answer.forked_at)
            self._held += max(0, sequence.held - answer.forked_at)
        self._end(sequence, keep=keep, floor=answer.floor)
        del job.answers[sequence]
        if not job.live:
            self.metrics.finished += 1

    def _take_scores(self, job: Scoring, item: Wanted, logits: Tensor) -> None:
        if job not in self.jobs:
            return  # another of its sequences failed in this step
        sequence, stop = item.chunk.sequence, item.chunk.stop
        targets = torch.from_numpy(job.targets(sequence, item.start, stop)).to(logits.device)
        logits = logits[: len(targets)].float()
        found = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(-1)
        if bool(torch.isnan(found).any()):
            self._fail(job, no_numbers())
        elif job.take(sequence, found.tolist(), stop):
            if sequence is job.own:
                self.scheduler.cache.share_tail(sequence)
                job.note(self.scheduler.cache.slots.logprobs)
            job.live += job.later
            for later in job.later:
                self.scheduler.submit(later)
            job.later = []
            self._end(sequence)
            if not job.live:
                job.finish()
                self.metrics.finished += 1

    def _fail(self, job: Job, error: BackendError) -> None:
        self._drop(job, keep=False)  # its KV may hold what is not a number
        self.metrics.failed += 1
        job.sink(error.at(node=job.label))

    def _end(self, sequence: Sequence, *, keep: bool = True, floor: int = 0) -> None:
        """A sequence is complete: free it, keep its KV in the tree, or the first `floor` of it."""
        job = sequence.job
        assert isinstance(job, Job)
        self.scheduler.remove(sequence, keep=keep, floor=floor)
        job.live.remove(sequence)
        if not job.live:
            self._forget(job)

    def _forget(self, job: Job) -> None:
        del self.jobs[job]
        if isinstance(job, Generation):
            self._held -= job.held

    def _drop(self, job: Job, *, keep: bool = True) -> None:
        for sequence in job.live:
            self.scheduler.remove(sequence, keep=keep)
            if self.drafter is not None:
                self.drafter.forget(sequence)
        job.live.clear()
        self._forget(job)

    def _count(self, chunks: list[Chunk], rows: int) -> int:
        """Note a step; how many of its chunks were a step of an answer."""
        decoded = sum(c.stop - c.start == 1 + c.sequence.drafted for c in chunks)
        self.metrics.steps += 1
        self.metrics.rows += rows
        self.metrics.decoded += decoded
        cache = self.scheduler.cache
        live = cache.slots.used - cache.tree.evictable
        self.metrics.peak_live = max(self.metrics.peak_live, live)
        self.metrics.peak_unfreed = max(self.metrics.peak_unfreed, live + self._held)
        return decoded

    def check(self) -> None:
        """Raise AssertionError where jobs, scheduler and cache disagree."""
        self.scheduler.check()
        self.model.pool.check()
        live = {id(s) for job in self.jobs for s in job.live}
        known = {id(s) for s in (*self.scheduler.running, *self.scheduler.waiting)}
        assert live == known
        if self.drafter is not None:
            self.drafter.check(live)
