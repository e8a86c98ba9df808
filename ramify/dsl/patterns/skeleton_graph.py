"""Skeleton graphs (SGD; Jin et al., arXiv 2402.12280), as a program.

One call plans sub-questions: what each needs, how hard it is, how long its answer will be. Each is
answered as soon as what it needs is there, the longest chain of promises first; hard ones by the
default model, easy ones by a smaller one. A last call answers the question from their answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ramify.dsl.functions import call, lines
from ramify.dsl.operations import Gen, assistant, user
from ramify.dsl.patterns.graph_plan import BadPlan, GraphPlan, Part, plan_constraint, read_plan
from ramify.dsl.patterns.skeleton import Moves, Plainly, need_question
from ramify.dsl.program import program
from ramify.dsl.value import Value
from ramify.errors import ProgramError, RamifyError
from ramify.ir import Sampling

if TYPE_CHECKING:
    from ramify.dsl.state import State


@dataclass(frozen=True, slots=True)
class GraphWords:
    """What the model is asked. `{question}` stands for a part's own."""

    plan: str = (
        "Do not answer yet. Split this into sub-questions, as JSON: an id for each, the question, "
        "the ids of earlier ones whose answers it needs, its difficulty from 1 to 5, and how many "
        "tokens its answer will take."
    )
    part: str = "Answer only this sub-question, briefly: {question}"
    known: str = "What is known:\n"
    conclusion: str = "Now answer the question."


Begin = Callable[["State", Part, Any], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOptions:
    """How a graph is planned and answered; token counts are upper limits.

    `sampling` is that of the last answer and of the plain one. Parts of a difficulty up to `easy`
    go to the backend named `small`, where one is named. With `begin`, a part does not see the
    question: its prompt is empty, and `begin(branch, part, query)` writes the start of it, passages
    that fit `query` for instance, which is the part's question and the answers that it needs.
    Without `conclude` the answer is that of the last part. A plan that is not `constrained` is
    written freely; `read` makes parts of it.
    """

    sampling: Sampling
    limit: int = 8
    plan_tokens: int = 512
    part_tokens: int = 128
    model: str = ""
    small: str = ""
    easy: int = 2
    on_bad_plan: BadPlan = "repair"
    words: GraphWords = GraphWords()
    begin: Begin | None = None
    conclude: bool = True
    constrained: bool = True
    read: Callable[[str], GraphPlan] = read_plan


def _moves(plan: GraphPlan, limit: int, on_bad_plan: BadPlan) -> Moves:
    """The plan as the one thing to do; or the plain answer, with the reason."""
    if on_bad_plan == "refuse" and (plan.problem or plan.notes):
        reason = "; ".join([plan.problem, *plan.notes]).strip("; ")
        raise ProgramError(
            f"the plan cannot be used as it is: {reason}.",
            hint='on_bad_plan="repair" mends what can be mended.',
        )
    if plan.problem:
        return Moves([Plainly(plan.problem)], f"plain answer: {plan.problem}")
    notes = list(plan.notes)
    parts = plan.parts[:limit]  # what they need comes before them
    if len(parts) < len(plan.parts):
        notes.append(f"{len(plan.parts)} parts, the first {limit} are answered")
    return Moves([GraphPlan(parts)], "; ".join(notes))


def _known(questions: Sequence[str], answers: Sequence[Any]) -> str:
    """What is known, a line each; an answer that failed is not."""
    pairs = zip(questions, answers, strict=True)
    return "\n".join(f"- {question} {answer.strip()}" for question, answer in pairs
                     if isinstance(answer, str))  # fmt: skip


class Settled(str):
    """A text that carries a note."""

    __ramify_note__ = ""


def _settled(questions: Sequence[str], answers: Sequence[Any]) -> Settled:
    """The lines of what is known; the note names the parts that failed."""
    text = Settled(_known(questions, answers))
    failed = [i for i, answer in enumerate(answers) if isinstance(answer, RamifyError)]
    if failed and not text:
        raise answers[failed[0]]
    if failed:
        text.__ramify_note__ = "without: " + "; ".join(questions[i] for i in failed)
    return text


def _answer_parts(s: State, plan: GraphPlan, options: GraphOptions) -> dict[int, Value]:
    """One branch of `s` per part: the question, the answers that it needs, its own question."""
    answers: dict[int, Value] = {}
    questions = {part.id: part.question for part in plan.parts}
    for part in plan.parts:
        branch: State = s.fork() if options.begin is None else s.fork_empty()
        pieces: list[Any] = []
        query: Any = part.question
        if part.needs:
            # in the order of the plan, so that parts with the same needs share their prefix
            needs = [one.id for one in plan.parts if one.id in part.needs]
            known = call(_known, [questions[n] for n in needs], [answers[n] for n in needs],
                         pure=True)  # fmt: skip
            pieces = [options.words.known, known, "\n\n"]
            query = lines(query, *(answers[n] for n in needs))
        if options.begin is not None:
            options.begin(branch, part, query)
        branch += user(*pieces, options.words.part.format(question=part.question))
        branch += assistant(_generation(part, options))
        answers[part.id] = branch[f"part{part.id}"]
    return answers


def _generation(part: Part, options: GraphOptions) -> Gen:
    tokens = min(part.tokens, options.part_tokens)
    small = options.small if part.difficulty <= options.easy else ""
    return Gen(f"part{part.id}", Sampling(max_tokens=tokens), model=small or options.model)


def graph_answer(s: State, options: GraphOptions) -> Value:
    """The whole answer, on a state whose prompt ends with the question."""
    words = options.words
    planner = s.fork()
    planner += user(words.plan)
    planner += assistant(
        Gen(
            "plan",
            Sampling(max_tokens=options.plan_tokens),
            plan_constraint(options.limit) if options.constrained else None,
            parse=options.read,
            lenient=True,
            model=options.model,
        )
    )
    todo = call(_moves, planner["plan"], options.limit, options.on_bad_plan, pure=True)

    def answer(branch: State, move: GraphPlan | Plainly) -> None:
        last = s.fork()
        if isinstance(move, GraphPlan):
            answers = _answer_parts(s, move, options)
            if not options.conclude:
                branch["answer"] = answers[move.parts[-1].id]
                return
            questions = [part.question for part in move.sinks()]
            found = [answers[part.id] for part in move.sinks()]
            known = call(_settled, questions, found, pure=True, settled=True)
            last += user(words.known, known, "\n\n", words.conclusion)
        last += assistant(Gen("answer", options.sampling, model=options.model))
        branch["answer"] = last["answer"]

    written: Value = planner.each(todo, answer)["answer"][0]
    written._annotation = str
    return written


@program
def skeleton_graph(
    s: State,
    question: str,
    answer_tokens: int = 128,
    part_tokens: int = 128,
    limit: int = 8,
    plan_tokens: int = 512,
    model: str = "",
    small: str = "",
    easy: int = 2,
    on_bad_plan: BadPlan = "repair",
    words: GraphWords = GraphWords(),
    begin: Begin | None = None,
    conclude: bool = True,
) -> Value:
    """Answer `question` through a graph of sub-questions.

    `small` names the backend for parts of difficulty up to `easy`. A plan with cycles, unknown ids
    or parts that need themselves is mended, and the result's notes say how, or with
    `on_bad_plan="refuse"` refused; without at least two parts, the answer is the plain one. Under
    `Policy(on_error="keep")` a part that fails takes with it only the parts that need it: the last
    answer is written from the others. `begin` and `conclude`: see GraphOptions.

    Raises ProgramError for an empty question, and for a plan that is refused.
    """
    need_question(question, "skeleton_graph")
    s += user(question)
    s["answer"] = graph_answer(
        s,
        GraphOptions(
            sampling=Sampling(max_tokens=answer_tokens),
            limit=limit,
            plan_tokens=plan_tokens,
            part_tokens=part_tokens,
            model=model,
            small=small,
            easy=easy,
            on_bad_plan=on_bad_plan,
            words=words,
            begin=begin,
            conclude=conclude,
        ),
    )
    return s["answer"]


def organized_options(piece: Gen) -> GraphOptions:
    """The options of `rf.gen(..., organize="graph")`."""
    short = replace(piece.sampling, min_tokens=0)
    return GraphOptions(sampling=short, part_tokens=piece.sampling.max_tokens, model=piece.model)
