import math
from collections import Counter

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramify.compressors.centrality import centrality
from ramify.retrieval.terms import terms

TEXTS = st.lists(
    st.lists(st.sampled_from(["mill", "river", "old", "mayor", "wool", "the"]), max_size=6).map(
        " ".join
    ),
    max_size=8,
)


def naive(texts: list[str]) -> list[float]:
    """PageRank of the whole graph, by networkx."""
    rows = [Counter(terms(text)) for text in texts]
    df = Counter(term for row in rows for term in row)
    vectors = [{t: n * math.log(1 + len(texts) / df[t]) for t, n in row.items()} for row in rows]
    graph = nx.Graph()
    graph.add_nodes_from(range(len(texts)))
    for a, left in enumerate(vectors):
        for b, right in enumerate(vectors[:a]):
            product = sum(left[t] * right[t] for t in left.keys() & right.keys())
            if product:
                lengths = math.hypot(*left.values()) * math.hypot(*right.values())
                graph.add_edge(a, b, weight=product / lengths)
    ranks = nx.pagerank(graph, alpha=0.85, tol=1e-12, max_iter=1000)
    return [ranks[at] for at in range(len(texts))]


@given(TEXTS)
def test_it_is_the_pagerank_of_the_cosines(texts: list[str]) -> None:
    found = centrality(texts).tolist()
    assert found == pytest.approx(naive(texts) if texts else [], abs=1e-6)


def test_what_others_speak_of_is_central() -> None:
    texts = ["The mill is old.", "Wool.", "The old mill by the river.", "A river and a mill."]
    found = centrality(texts)
    assert found.argmin() == 1
    assert found.sum() == pytest.approx(1.0)
