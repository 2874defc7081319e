"""`bobbin usage`: from when on, what it costs, sums, and the command itself."""

import asyncio
import csv
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import cli
from bot.errors import CommandError, SettingsError
from bot.usage.forms import Form, formed
from bot.usage.prices import Price, Prices, load_prices
from bot.usage.since import beginning
from bot.usage.sums import By, Report, summed
from storage.base import Usage
from storage.sqlite import SqliteStorage
from tests.storage.records import ADA, BOB, usage

_NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
_PRICES = Prices(
    {
        "dear": Price(input=Decimal(10), cached_input=Decimal(1), output=Decimal(50)),
        "cheap": Price(input=Decimal("0.1"), output=Decimal("0.5")),
    }
)

usages = st.lists(
    st.builds(
        Usage,
        run=st.sampled_from(["run1", "run2", "run3"]),
        at=st.floats(1_700_000_000, 1_700_300_000),
        team=st.just("T1"),
        channel=st.sampled_from(["C1", "C2"]),
        person=st.sampled_from([ADA, BOB]),
        assistant=st.sampled_from(["general", "math-tutor"]),
        model=st.sampled_from(["dear", "cheap", "unheard-of"]),
        input_tokens=st.integers(0, 10**7),
        cached_tokens=st.integers(0, 10**6),
        output_tokens=st.integers(0, 10**6),
        reasoning_tokens=st.integers(0, 10**6),
    ),
    max_size=12,
)


class TestSince:
    @given(st.integers(1, 9999), st.sampled_from("hdw"))
    def test_a_span_is_counted_back_from_now(self, number: int, unit: str) -> None:
        hours = {"h": 1, "d": 24, "w": 7 * 24}[unit]
        assert _NOW - beginning(f"{number}{unit}", _NOW) == timedelta(hours=number * hours)

    @given(st.dates(date(1, 1, 1), _NOW.date()))
    def test_a_date_is_the_begin_of_its_day_in_utc(self, day: date) -> None:
        begin = beginning(day.isoformat(), _NOW)
        assert (begin.date(), begin.timetz()) == (day, datetime.min.replace(tzinfo=UTC).timetz())

    @given(st.dates(_NOW.date() + timedelta(days=1)))
    def test_a_day_to_come_is_refused(self, day: date) -> None:
        with pytest.raises(CommandError, match=f"^--since: {day} is in the future"):
            beginning(day.isoformat(), _NOW)

    @given(st.text() | st.from_regex(r"[-0-9hdwW]{1,12}", fullmatch=True))
    def test_whatever_else_is_typed_is_one_sentence(self, since: str) -> None:
        said, begin = "", _NOW
        try:
            begin = beginning(since, _NOW)
        except CommandError as error:
            said = error.sentence
        assert not said or (said.startswith("--since: ") and len(said.splitlines()) == 1)
        assert said or begin < _NOW

    @pytest.mark.parametrize(
        "since",
        ["", "7", "d", "7 d", "0d", "-7d", "7m", "1.5d", "٧d", "10000d", "yesterday", "2026-11", "20261101", "7d\n"],
    )
    def test_what_is_no_time_is_refused(self, since: str) -> None:
        with pytest.raises(
            CommandError, match="is neither a span such as 12h, 7d or 4w, nor a date such as 2026-11-01"
        ):
            beginning(since, _NOW)

    @pytest.mark.parametrize("since", ["2026-02-30", "2026-13-01", "0000-01-01"])
    def test_a_day_that_never_was_is_refused(self, since: str) -> None:
        with pytest.raises(CommandError, match=f"^--since: there is no day {since}"):
            beginning(since, _NOW)


class TestPrices:
    def test_input_cached_input_and_output_have_a_price_each(self) -> None:
        used = usage(model="dear", input_tokens=1_000_000, cached_tokens=400_000, output_tokens=100_000)
        assert _PRICES.of(used) == Decimal("6") + Decimal("0.4") + Decimal("5")

    def test_reasoning_is_a_part_of_the_output(self) -> None:
        used = usage(model="dear", reasoning_tokens=50)
        assert _PRICES.of(used) == _PRICES.of(replace(used, reasoning_tokens=0))

    def test_cached_input_without_a_price_costs_what_input_costs(self) -> None:
        used = usage(model="cheap", input_tokens=1_000_000, output_tokens=0)
        assert _PRICES.of(replace(used, cached_tokens=1_000_000)) == _PRICES.of(used) == Decimal("0.1")

    def test_more_cached_input_than_input_is_no_gain(self) -> None:
        used = usage(model="dear", input_tokens=0, cached_tokens=1_000_000, output_tokens=0)
        assert _PRICES.of(used) == 0

    @pytest.mark.parametrize("model", ["unheard-of", "", "dear-mini", "ft:dear:acme", "dear-2026-11-17-mini"])
    def test_an_unknown_model_has_no_price(self, model: str) -> None:
        assert _PRICES.of(usage(model=model)) is None

    def test_a_snapshot_costs_what_its_model_costs_unless_it_has_a_price(self) -> None:
        snapshot = "dear-2026-11-17"
        assert _PRICES.of(usage(model=snapshot)) == _PRICES.of(usage(model="dear"))
        free = Prices(
            {"dear": Price(input=Decimal(1), output=Decimal(1)), snapshot: Price(input=Decimal(0), output=Decimal(0))}
        )
        assert free.of(usage(model=snapshot)) == 0

    @pytest.mark.parametrize("path", sorted(Path("assistants").glob("*.md")), ids=str)
    def test_the_models_of_the_assistants_that_ship_have_one(self, path: Path) -> None:
        (model,) = [line.split(":")[1].strip() for line in path.read_text().splitlines() if line.startswith("model:")]
        assert load_prices().of(usage(model=model))

    def test_an_own_file_adds_models_and_replaces_prices(self, tmp_path: Path) -> None:
        own = tmp_path / "prices.toml"
        own.write_text(
            '["llama4"]\ninput = 0\noutput = 1\n["gpt-6.1-terra"]\ninput = 3\ncached_input = 2.5\noutput = 4\n'
        )
        prices = load_prices(own)
        one = {"input_tokens": 2_000_000, "cached_tokens": 1_000_000, "output_tokens": 1_000_000}
        models = ("llama4", "gpt-6.1-terra", "gpt-6-luna")
        assert [prices.of(usage(model=model, **one)) for model in models] == [  # type: ignore[arg-type]
            Decimal(1),
            Decimal("9.5"),
            Decimal("0.61"),
        ]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (b'["m"]\ninput = 1\n', "m, output: it is missing"),
            (b'["m"]\ninput = -1\noutput = 1\n', "m, input: it should be greater than or equal to 0"),
            (b'["m"]\ninput = nan\noutput = 1\n', "m, input: it should be a finite number"),
            (b'["m"]\ninput = "much"\noutput = 1\n', "m, input: it should be a valid decimal"),
            (b'["m"]\ninput = 1\noutput = 1\nimages = 1\n', "m, images: it is none of input, cached_input and output"),
            (b"[gpt-6.1-terra]\ninput = 1\noutput = 1\n", "a table with its name in quotes"),
            (b"m = 1\n", "m: it is no model's table; "),
            (b"input = 1\noutput = 5\n", "input: it is no model's table; a model is a table with its name"),
            (b"what is this\n", "is no TOML"),
            (b"\xff\xfe", "is no TOML"),
        ],
    )
    def test_a_wrong_file_is_one_sentence(self, tmp_path: Path, text: bytes, said: str) -> None:
        (tmp_path / "prices.toml").write_bytes(text)
        with pytest.raises(SettingsError) as caught:
            load_prices(tmp_path / "prices.toml")
        sentence = caught.value.sentence
        assert sentence.startswith(f"BOBBIN_PRICES: {tmp_path}/prices.toml")
        assert said in sentence
        assert "\n" not in sentence


def report(records: list[Usage], *by: By) -> Report:
    return summed(records, by, _NOW, _PRICES)


class TestSums:
    @given(usages, st.lists(st.sampled_from(By), min_size=1))
    def test_the_groups_make_up_the_total(self, records: list[Usage], by: list[By]) -> None:
        made = report(records, *by)
        sums = [group.sum for group in made.groups]
        for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"):
            expected = sum(getattr(record, name) for record in records)
            assert getattr(made.total, name) == expected
            assert sum(getattr(each, name) for each in sums) == expected
        assert sum((each.known_price for each in sums), Decimal(0)) == made.total.known_price
        assert {model for each in sums for model in each.unpriced} == set(made.total.unpriced)
        assert made.total.runs == len({record.run for record in records})

    @given(usages, st.lists(st.sampled_from(By), min_size=1))
    def test_each_group_is_the_sum_of_its_own(self, records: list[Usage], by: list[By]) -> None:
        made = report(records, *by)
        assert len({group.names for group in made.groups}) == len(made.groups)
        for group in made.groups:
            own = [each for each in records if tuple(key.of(each) for key in made.by) == group.names]
            assert own
            assert report(own, *by).total == group.sum

    @given(usages)
    def test_a_price_is_known_only_where_all_of_it_is(self, records: list[Usage]) -> None:
        total = report(records, By.MODEL).total
        unheard_of = any(record.model == "unheard-of" for record in records)
        uncounted = {r.run for r in records} - {r.run for r in records if r.input_tokens or r.output_tokens}
        assert total.uncounted == len(uncounted)
        assert (total.price is None) == (unheard_of or bool(uncounted))
        assert total.unpriced == (("unheard-of",) if unheard_of else ())

    def test_a_run_of_two_models_is_one_run(self) -> None:
        made = report([usage(model="dear"), usage(model="cheap")], By.ASSISTANT)
        assert made.total.runs == 1
        assert [group.sum.runs for group in made.groups] == [1]

    def test_the_most_expensive_comes_first(self) -> None:
        records = [
            usage(model="cheap", person="U3"),
            usage(model="dear", person="U2"),
            usage(model="none", person="U1"),
        ]
        assert [group.names for group in report(records, By.PERSON).groups] == [("U2",), ("U3",), ("U1",)]

    def test_days_are_those_of_utc_and_come_in_order(self) -> None:
        midnight = datetime(2026, 11, 2, tzinfo=UTC).timestamp()
        records = [
            usage("a", midnight, model="dear"),
            usage("b", midnight - 1, model="cheap", person=BOB),
            usage("c", midnight - 1, model="dear"),
        ]
        made = report(records, By.PERSON, By.DAY, By.PERSON)
        assert made.by == (By.PERSON, By.DAY)
        assert [group.names for group in made.groups] == [(ADA, "2026-11-01"), (BOB, "2026-11-01"), (ADA, "2026-11-02")]


_MIXED = [
    usage("run1", model="dear", input_tokens=1_234_567, cached_tokens=0, output_tokens=0),
    usage("run2", model="unheard-of", assistant="general", person=BOB),
    usage("run3", model="cheap", input_tokens=1, cached_tokens=0, output_tokens=0),
    usage("run4", model="unheard-of"),
]


class TestForms:
    def test_a_table_is_aligned_and_ends_with_the_total(self) -> None:
        assert formed(report(_MIXED, By.ASSISTANT), Form.TABLE).splitlines() == [
            "assistant   runs      input  cached  output  reasoning                USD",
            "math-tutor     3  1,235,568     400     200        150  12.3457 + unknown",
            "general        1      1,000     400     200         50            unknown",
            "total          4  1,236,568     800     400        200  12.3457 + unknown",
        ]

    def test_a_price_too_small_to_show_is_not_nothing(self) -> None:
        lines = formed(report(_MIXED, By.MODEL, By.PERSON), Form.TABLE).splitlines()
        assert [line.split()[-1] for line in lines] == ["USD", "12.3457", "<0.0001", "unknown", "unknown", "unknown"]

    def test_a_table_of_nothing_is_a_total_of_nothing(self) -> None:
        header, total = formed(report([], By.DAY, By.MODEL), Form.TABLE).splitlines()
        assert len(header) == len(total)
        assert total.split() == ["total", "0", "0", "0", "0", "0", "0.0000"]

    @given(usages, st.lists(st.sampled_from(By), min_size=1))
    def test_every_line_of_a_table_is_as_long(self, records: list[Usage], by: list[By]) -> None:
        made = report(records, *by)
        lines = formed(made, Form.TABLE).partition("\n\n")[0].splitlines()
        assert len({len(line) for line in lines}) == 1
        assert len(lines) == len(made.groups) + 2

    def test_a_run_that_nobody_counted_does_not_cost_nothing(self) -> None:
        """Stopped while it streamed: it was shown as 0.0000."""
        stopped = usage("run5", model="dear", input_tokens=0, cached_tokens=0, output_tokens=0, reasoning_tokens=0)
        made = formed(report([stopped, usage("run6", model="dear")], By.RUN), Form.TABLE)
        table, _, note = made.partition("\n\n")
        assert [line.split()[-1] for line in table.splitlines() if line.startswith("run5")] == ["unknown"]
        assert note.startswith("What 1 of the runs used is in no sum")

    def test_json_has_null_for_a_price_that_is_not_known(self) -> None:
        made = json.loads(formed(report(_MIXED, By.ASSISTANT, By.MODEL), Form.JSON))
        assert (made["since"], made["by"]) == ("2026-11-23T15:30:00+00:00", ["assistant", "model"])
        assert made["groups"][0] == {
            "assistant": "math-tutor",
            "model": "dear",
            "runs": 1,
            "uncounted_runs": 0,
            "input_tokens": 1_234_567,
            "cached_tokens": 0,
            "output_tokens": 0,
            "reasoning_tokens": 50,
            "price_usd": 12.34567,
            "known_price_usd": 12.34567,
            "unpriced_models": [],
        }
        total = made["total"]
        assert (total["price_usd"], total["unpriced_models"]) == (None, ["unheard-of"])
        assert total["known_price_usd"] == pytest.approx(12.3456701)

    @pytest.mark.parametrize("name", ["=cmd|' /c calc'!a1", "-x", "@cf/meta/llama", "+1"])
    def test_no_name_is_a_formula_in_a_spreadsheet(self, name: str) -> None:
        text = formed(report([usage(model=name, input_tokens=5)], By.MODEL), Form.CSV)
        [_, row] = csv.reader(io.StringIO(text))
        assert row[0] == f"'{name}"
        assert row[-1] == f"'{name}"

    def test_csv_is_a_row_for_each_group(self) -> None:
        rows = list(csv.DictReader(io.StringIO(formed(report(_MIXED, By.MODEL), Form.CSV))))
        assert [(row["model"], row["price_usd"], row["known_price_usd"], row["unpriced_models"]) for row in rows] == [
            ("dear", "12.34567", "12.34567", ""),
            ("cheap", "0.0000001", "0.0000001", ""),
            ("unheard-of", "unknown", "0", "unheard-of"),
        ]
        assert [row["input_tokens"] for row in rows] == ["1234567", "1", "2000"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run `bobbin usage …` in an empty folder; gives its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, **settings: str) -> tuple[int, str, str]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["bobbin", "usage", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def used(tmp_path: Path) -> Callable[..., None]:
    """Stores usage where `bobbin usage` looks without a setting."""

    def used(*records: Usage) -> None:
        async def store() -> None:
            storage = await SqliteStorage.open(f"sqlite:///{tmp_path}/bobbin.db")
            for record in records:
                await storage.add_usage(record)
            await storage.close()

        asyncio.run(store())

    return used


def ago(**span: float) -> float:
    return (datetime.now(UTC) - timedelta(**span)).timestamp()


class TestCommand:
    def test_sums_the_last_seven_days_by_assistant(self, run: Any, used: Callable[..., None]) -> None:
        used(usage("run1", ago(days=6)), usage("run2", ago(days=8)), usage("run3", ago(hours=1), assistant="general"))
        code, out, err = run()
        lines = [line.split() for line in out.splitlines()]
        assert (code, err) == (0, "")
        assert [line[0] for line in lines] == ["assistant", "general", "math-tutor", "total"]
        assert lines[-1][1:3] == ["2", "2,000"]

    def test_since_and_by_are_as_asked(self, run: Any, used: Callable[..., None]) -> None:
        used(usage("run1", ago(days=6)), usage("run2", ago(days=8), person=BOB))
        code, out, _ = run("--by", "person", "--by", "channel", "--since", "2w", "--format", "json")
        assert code == 0
        groups = [(each["person"], each["channel"], each["runs"]) for each in json.loads(out)["groups"]]
        assert groups == [(ADA, "C1", 1), (BOB, "C1", 1)]
        assert len(run("--since", "2026-01-01", "--format", "csv")[1].splitlines()) == 2
        assert run("--since", "12h", "--format", "csv")[1].splitlines()[1:] == []

    def test_an_unknown_model_is_named_and_its_price_can_be_given(
        self, run: Any, used: Callable[..., None], tmp_path: Path
    ) -> None:
        used(usage(at=ago(hours=1), model="llama4"))
        code, out, err = run()
        assert code == 0
        assert out.splitlines()[-1].endswith("unknown")
        assert err == "bobbin: no price is known for llama4; give it in the file that BOBBIN_PRICES names.\n"
        (tmp_path / "mine.toml").write_text('["llama4"]\ninput = 1000\noutput = 0\n')
        code, out, err = run(BOBBIN_PRICES="mine.toml")
        assert (code, err) == (0, "")
        assert out.splitlines()[-1].endswith(" 1.0000")

    @pytest.mark.parametrize(
        ("words", "settings", "said"),
        [
            (["--since", "soon"], {}, "--since: 'soon' is neither a span"),
            (["--since", "2999-01-01"], {}, "--since: 2999-01-01 is in the future"),
            ([], {"BOBBIN_PRICES": "missing.toml"}, "BOBBIN_PRICES is wrong: a TOML"),
            ([], {"BOBBIN_PRICES": "wrong.toml"}, "BOBBIN_PRICES: wrong.toml: m, output: it is missing"),
            ([], {"DATABASE_URL": "mysql://x"}, "DATABASE_URL is wrong"),
            ([], {}, "DATABASE_URL: there is no database bobbin.db"),
        ],
    )
    def test_what_is_wrong_is_one_line_and_exit_code_2(
        self, run: Any, tmp_path: Path, words: list[str], settings: dict[str, str], said: str
    ) -> None:
        (tmp_path / "wrong.toml").write_text('["m"]\ninput = 1\n')
        code, out, err = run(*words, **settings)
        assert (code, out) == (2, "")
        assert err.startswith(f"bobbin: {said}")
        assert err.count("\n") == 1
        assert not (tmp_path / "bobbin.db").exists()

    @pytest.mark.parametrize("words", [["--by", "mood"], ["--format", "xml"]])
    def test_a_choice_that_there_is_not_has_exit_code_2(self, run: Any, words: list[str]) -> None:
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert f"'{words[1]}' is not one of" in err
