from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import InvalidInput
from features.interactions import Interactions
from training import protocols
from training.datasets import Dataset, Protocol, Questions, read
from training.protocols import Plan, Stage, plan, ties_shuffled

N = 40


def dataset(folder: Path, protocol: Protocol) -> Dataset:
    """Return ``N`` people who chose 6 of 10 items each."""
    rng = np.random.default_rng(1)
    rows = [(f"u{user:02}", f"i{item}", at) for user in range(N) for at, item in enumerate(rng.permutation(10)[:6])]
    person = "session_id" if protocol is Protocol.SESSIONS else "user_id"
    table = pl.DataFrame(rows, [person, "item_id", "position"], orient="row")
    name = "interactions" if protocol is Protocol.LEAVE_ONE_OUT else "train"
    table.write_parquet(folder / f"{name}.parquet")
    test = {"user_id": ["u00"], "item_id": ["i1"], "prefix": [["i0"]], "target": ["i1"]}
    pl.DataFrame(test).write_parquet(folder / "test.parquet")
    return read(folder, protocol, False, folder / "workshop", np.random.default_rng(0))


def planned(folder: Path, protocol: Protocol) -> tuple[Interactions, Plan]:
    data = dataset(folder, protocol)
    return data.snapshot.interactions, plan(data, protocol, np.random.default_rng(0))


def items(interactions: Interactions, user: int) -> list[int]:
    return interactions.of(user).item.tolist()


def answers(questions: Questions, number: int) -> list[int]:
    return questions.relevant[number].indices.tolist()


def test_of_leave_one_out_the_last_item_is_the_test_and_the_one_before_it_the_validation(tmp_path: Path) -> None:
    everything, stages = planned(tmp_path, Protocol.LEAVE_ONE_OUT)

    for user in range(N):
        whole = items(everything, user)
        for stage, end in ((stages.validation, 4), (stages.test, 5)):
            assert items(stage.questions.histories, user) == whole[:end]
            assert answers(stage.questions, user) == [whole[end]]
        # Of neither history is the last item known.
        assert items(stages.validation.known, user) == whole[:3]
        assert items(stages.test.known, user) == whole[:4]
        assert stages.refit is not None
        assert items(stages.refit, user) == whole[:5]


@pytest.mark.parametrize(("questions", "places"), [(1, 4), (N * 5, 5), (N * 100, 16)])
def test_the_fewer_people_there_are_the_more_of_their_last_items_make_lessons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, questions: int, places: int
) -> None:
    monkeypatch.setattr(protocols, "QUESTIONS_IN_LESSONS", questions)
    rows = [(f"u{user:02}", f"i{item}", item) for user in range(N) for item in range(20)]
    table = pl.DataFrame(rows, ["user_id", "item_id", "position"], orient="row")
    table.write_parquet(tmp_path / "interactions.parquet")
    data = read(tmp_path, Protocol.LEAVE_ONE_OUT, False, tmp_path / "workshop", np.random.default_rng(0))

    lessons = plan(data, Protocol.LEAVE_ONE_OUT, np.random.default_rng(0)).lessons

    assert sum(len(one.questions) for one in lessons) == N * places
    # The last two items are for validation and test.
    asked = {item for one in lessons for item in one.questions.relevant.indices.tolist()}
    assert asked == set(items(data.snapshot.interactions, 0)[18 - places : 18])


def test_where_histories_are_short_nothing_more_is_left_out_for_the_validation(tmp_path: Path) -> None:
    rows = [(f"u{user}", f"i{item}", item) for user in range(9) for item in range(4)]
    pl.DataFrame(rows, ["user_id", "item_id", "position"], orient="row").write_parquet(
        tmp_path / "interactions.parquet"
    )
    data = read(tmp_path, Protocol.LEAVE_ONE_OUT, False, tmp_path / "workshop", np.random.default_rng(0))

    stages = plan(data, Protocol.LEAVE_ONE_OUT, np.random.default_rng(0))

    assert np.diff(stages.validation.known.indptr).tolist() == [2] * 9


def test_the_lessons_of_leave_one_out_ask_people_of_whom_nothing_is_known(tmp_path: Path) -> None:
    everything, stages = planned(tmp_path, Protocol.LEAVE_ONE_OUT)

    pasts = {tuple(items(everything, user)[:4]): user for user in range(N)}
    assert stages.lessons
    for lesson in stages.lessons:
        for number in range(len(lesson.questions)):
            asked = (*items(lesson.questions.histories, number), *answers(lesson.questions, number))
            assert [] in [items(lesson.known, user) for past, user in pasts.items() if past[: len(asked)] == asked]


@pytest.mark.parametrize("protocol", list(Protocol))
def test_no_answer_is_known_before_it_is_asked_for(protocol: Protocol, tmp_path: Path) -> None:
    everything, stages = planned(tmp_path, protocol)

    # Each history is that of some person; nobody with this history may have one of the answers in what is known.
    whole = [items(everything, user) for user in range(N)]
    for stage in (*stages.lessons, stages.validation):
        assert len(stage.questions)
        for number in range(len(stage.questions)):
            history, found = items(stage.questions.histories, number), answers(stage.questions, number)
            owners = [user for user in range(N) if set(history) < set(whole[user]) and set(found) <= set(whole[user])]
            assert owners
            assert any(not set(found) & set(items(stage.known, user)) for user in owners)


def test_what_chooses_is_learned_from_too_unless_the_test_must_not_know_it(tmp_path: Path) -> None:
    learns = {}
    for protocol in Protocol:
        (tmp_path / protocol).mkdir()
        learns[protocol] = planned(tmp_path / protocol, protocol)[1].learns_from_validation

    assert learns == {Protocol.LEAVE_ONE_OUT: False, Protocol.SPLIT: True, Protocol.SESSIONS: True}


def test_a_split_is_cut_into_tenths_and_who_is_asked_for_one_knows_the_others(tmp_path: Path) -> None:
    everything, stages = planned(tmp_path, Protocol.SPLIT)

    cuts = []
    for stage in (stages.validation, *stages.lessons):
        cut = sum(len(answers(stage.questions, number)) for number in range(len(stage.questions)))
        assert len(stage.known.all) + cut == len(everything.all)
        cuts.append(cut / len(everything.all))
    assert len(cuts) == 10
    assert max(cuts) < 0.2
    assert sum(cuts) == pytest.approx(1)
    assert len(stages.test.known.all) == len(everything.all)
    assert not stages.repeats


def test_a_split_of_which_nothing_can_be_cut_is_refused(tmp_path: Path) -> None:
    one = pl.DataFrame({"user_id": ["u"], "item_id": ["a"]})
    for part in ("train", "test"):
        one.write_parquet(tmp_path / f"{part}.parquet")
    data = read(tmp_path, Protocol.SPLIT, False, tmp_path / "workshop", np.random.default_rng(0))

    with pytest.raises(InvalidInput, match="Of the 1 interactions of the train file none is of use"):
        plan(data, Protocol.SPLIT, np.random.default_rng(0))


def test_sessions_ask_for_each_item_but_the_first_of_the_last_sessions(tmp_path: Path) -> None:
    everything, stages = planned(tmp_path, Protocol.SESSIONS)

    asked = stages.validation.questions
    last = items(everything, N - 1)
    assert [items(asked.histories, number) for number in range(len(asked) - 5, len(asked))] == [
        last[:end] for end in range(1, 6)
    ]
    assert [answers(asked, number) for number in range(len(asked) - 5, len(asked))] == [[one] for one in last[1:]]
    assert items(stages.validation.known, N - 1) == []
    assert stages.repeats


def test_only_what_happened_at_one_moment_is_shuffled(tmp_path: Path) -> None:
    rows = {"user_id": ["u"] * 7, "item_id": list("abcdefg"), "position": list(range(7))}
    times = pl.Series([1, 1, 1, 1, 2, 3, 4]).cast(pl.Int64) * 86_400_000_000
    pl.DataFrame(rows).with_columns(timestamp=times.cast(pl.Datetime("us", "UTC"))).write_parquet(
        tmp_path / "interactions.parquet"
    )
    data = read(tmp_path, Protocol.LEAVE_ONE_OUT, False, tmp_path / "workshop", np.random.default_rng(0))
    stage: Stage = plan(data, Protocol.LEAVE_ONE_OUT, np.random.default_rng(0)).test

    orders = {
        tuple(items(ties_shuffled(stage.questions, np.random.default_rng(seed)).histories, 0)) for seed in range(20)
    }

    original = items(stage.questions.histories, 0)
    assert len(orders) > 5
    assert {tuple(sorted(order[:4])) for order in orders} == {tuple(sorted(original[:4]))}
    assert {order[4:] for order in orders} == {tuple(original[4:])}
