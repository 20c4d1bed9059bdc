"""Asking and examining: every refusal, and what reaches the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dlm.domain.errors import (
    BaseModelError,
    ConfigError,
    DlmError,
    InferenceError,
    LicenseError,
    StoreError,
    UsageError,
)
from dlm.domain.events import Note, Progress
from dlm.domain.inference import InferencePlan, SamplingParams
from dlm.testing.generators import FakeGenerator
from dlm.testing.hardware import MAC, FakeHardware
from dlm.testing.registries import tiny_base
from run_cases import ID, Scene, ScriptedGenerator, a_document

QUESTION = "When does the lighthouse close?"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(folder=tmp_path)


@pytest.fixture
def trained(scene: Scene) -> Scene:
    scene.train(a_document())
    scene.generator.loads.clear()
    scene.registry.fetched.clear()
    return scene


class ParamsGenerator(FakeGenerator):
    """Keeps the sampling parameters it is asked with."""

    def __init__(self) -> None:
        super().__init__()
        self.params: list[SamplingParams] = []

    def load(self, *args: Any, **kwargs: Any) -> Any:
        outer = self

        class Model:
            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                return None

            def stream(self, turns: Any, params: SamplingParams) -> Iterator[str]:
                outer.params.append(params)
                yield turns[-1].content

        return Model()


def refused(scene: Scene, error: type[DlmError], code: str, query: str = QUESTION, **options: Any) -> DlmError:
    """The refusal comes from the call itself, before a model or a base is touched."""
    document = options.pop("document", None) or a_document()
    scene.registry.fetched.clear()
    with pytest.raises(error) as caught:
        scene.workspace.prompt(document, query, **options)
    assert caught.value.code == code
    assert caught.value.hint
    assert not scene.registry.fetched
    assert not scene.generator.loads
    return caught.value


class TestRefusals:
    def test_untrained(self, scene: Scene, tmp_path: Path) -> None:
        document = a_document(path=tmp_path / "notes.dlm")
        error = refused(scene, InferenceError, "infer.no-adapter", document=document)
        assert f"dlm train {tmp_path / 'notes.dlm'}" in str(error.hint)
        assert not scene.store.location(ID).exists()

    def test_untrained_is_said_without_looking_for_the_base(self, scene: Scene) -> None:
        refused(scene, InferenceError, "infer.no-adapter", document=a_document(base="hf:example/unknown"))

    @pytest.mark.parametrize("query", ["", " \n\t"])
    def test_nothing_asked(self, trained: Scene, query: str) -> None:
        refused(trained, UsageError, "infer.empty-query", query)

    @pytest.mark.parametrize(
        "knob",
        [
            {"max_tokens": 0},
            {"max_tokens": -5},
            {"temperature": -0.1},
            {"temperature": float("nan")},
            {"temperature": float("inf")},
            {"top_p": 0.0},
            {"top_p": 1.01},
            {"top_p": float("nan")},
        ],
    )
    def test_knobs_out_of_range(self, trained: Scene, knob: dict[str, float]) -> None:
        error = refused(trained, UsageError, "infer.bad-knob", **knob)
        assert str(next(iter(knob.values()))) in error.message
        assert error.subject == "prompt"

    def test_the_base_was_changed(self, trained: Scene) -> None:
        error = refused(trained, InferenceError, "infer.base-changed", document=a_document(base="other"))
        assert "tiny" in error.message
        assert "other" in error.message

    def test_a_base_that_is_gone_from_the_registry(self, trained: Scene) -> None:
        del trained.registry._bases["tiny"]
        refused(trained, BaseModelError, "base.unknown")

    def test_a_licence_that_changed(self, scene: Scene) -> None:
        scene.train(a_document(base="gated"), accept_license=True)
        scene.generator.loads.clear()
        scene.registry._bases["gated"] = tiny_base(
            key="gated", requires_acceptance=True, license_spdx="Other", license_url="https://example.org/newer"
        )
        refused(scene, LicenseError, "license.not-accepted", document=a_document(base="gated"))

    def test_mlx_where_there_is_none(self, trained: Scene) -> None:
        error = refused(trained, UsageError, "prompt.mlx-unavailable", backend="mlx")
        assert "Apple silicon" in error.message

    def test_a_mac_does_not_help_a_workspace_without_an_mlx_generator(self, trained: Scene) -> None:
        trained.hardware = FakeHardware(MAC)
        error = refused(trained, UsageError, "prompt.mlx-unavailable", backend="mlx")
        assert "generator" in error.message
        assert "".join(trained.workspace.prompt(a_document(), QUESTION)) == "It closes at 6:40."

    def test_a_media_base(self, trained: Scene) -> None:
        trained.registry._bases["tiny"] = tiny_base(
            modality="vision-language",
            media_plan={
                "target_size": (224, 224),
                "resize_policy": "fixed",
                "image_token": "<image>",
                "num_image_tokens": 256,
            },
            template="paligemma",
        )
        refused(trained, ConfigError, "config.media-base")

    def test_a_damaged_store_is_named(self, trained: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        def damaged(*_: object) -> None:
            raise StoreError("store.manifest-corrupt", "not valid JSON", hint="Put back a backup.")

        monkeypatch.setattr(trained.store, "manifest", damaged)
        refused(trained, StoreError, "store.manifest-corrupt")


class TestAnswers:
    def test_pieces_join_to_the_answer(self, trained: Scene) -> None:
        pieces = list(trained.workspace.prompt(a_document(), QUESTION))
        assert len(pieces) > 1
        assert "".join(pieces) == "It closes at 6:40."
        assert list(trained.workspace.prompt(a_document(), QUESTION, stream=False)) == ["It closes at 6:40."]

    def test_nothing_is_loaded_before_the_first_piece(self, trained: Scene) -> None:
        pieces = trained.workspace.prompt(a_document(), QUESTION)
        assert not trained.registry.fetched
        next(pieces)
        assert trained.registry.fetched == ["tiny"]

    def test_the_plan_and_the_version_are_told(self, trained: Scene) -> None:
        plans: list[InferencePlan] = []
        events: list[Any] = []
        list(trained.workspace.prompt(a_document(), QUESTION, on_plan=plans.append, on_event=events.append))
        assert [plan.backend.value for plan in plans] == ["pytorch"]
        (note,) = [event for event in events if isinstance(event, Note)]
        assert "v0001" in note.message

    def test_the_system_prompt_leads(self, trained: Scene) -> None:
        list(trained.workspace.prompt(a_document().edit(set={"system_prompt": "Be brief."}), QUESTION))
        assert trained.generator.loads[-1]["system_prompt"] == "Be brief."

    @pytest.mark.parametrize(("reasons", "expected"), [(False, 0.7), (True, 0.6)])
    def test_the_base_suggests_a_temperature(self, trained: Scene, reasons: bool, expected: float) -> None:
        trained.registry._bases["tiny"] = tiny_base(reasoning_tuned=reasons)
        trained.generator = ParamsGenerator()
        list(trained.workspace.prompt(a_document(), QUESTION, max_tokens=9, top_p=0.5, seed=3))
        (params,) = trained.generator.params
        assert params == SamplingParams(max_new_tokens=9, temperature=expected, top_p=0.5, seed=3)

    def test_zero_is_a_temperature(self, trained: Scene) -> None:
        trained.generator = ParamsGenerator()
        list(trained.workspace.prompt(a_document(), QUESTION, temperature=0))
        assert trained.generator.params[0].temperature == 0

    def test_what_an_observer_raises_while_the_base_is_fetched_is_its_own(self, trained: Scene) -> None:
        error = ValueError("mine")

        def observe(event: Any) -> None:
            if isinstance(event, Progress):
                raise error

        with pytest.raises(ValueError) as caught:
            list(trained.workspace.prompt(a_document(), QUESTION, on_event=observe))
        assert caught.value is error


class TestExam:
    def test_it_examines_the_current_version_and_changes_nothing(self, trained: Scene) -> None:
        before = trained.manifest
        events: list[Any] = []
        exam = trained.workspace.exam(a_document(), on_event=events.append)
        assert (exam.own.right, exam.own.asked) == (2, 2)
        assert trained.manifest == before
        assert trained.generator.loads[0]["adapter"] == trained.store.current(ID).folder
        stages = [event for event in events if isinstance(event, Progress) and event.stage == "exam"]
        assert [event.done for event in stages] == [0, 1, 2, 3]
        assert {event.total for event in stages} == {3}

    def test_untrained(self, scene: Scene) -> None:
        with pytest.raises(InferenceError) as caught:
            scene.workspace.exam(a_document())
        assert caught.value.code == "infer.no-adapter"

    def test_the_base_was_changed(self, trained: Scene) -> None:
        with pytest.raises(InferenceError) as caught:
            trained.workspace.exam(a_document(base="other"))
        assert caught.value.code == "infer.base-changed"
        assert not trained.registry.fetched

    def test_a_document_without_questions(self, trained: Scene) -> None:
        exam = trained.workspace.exam(a_document("Only prose.\n"))
        assert exam.own.share is None
        assert exam.probes == 16

    def test_leaks_are_found(self, trained: Scene) -> None:
        trained.generator = FakeGenerator({"Who fixes broken pipes in a house?": "Ask Ada Quint of Velm."})
        assert trained.workspace.exam(a_document()).leaks == ("Who fixes broken pipes in a house?",)

    def test_what_the_base_knew_and_is_lost(self, trained: Scene) -> None:
        trained.generator = FakeGenerator({"What is the capital of France?": "Velm."}, base_answer="Paris")
        kept = trained.workspace.exam(a_document()).kept
        assert (kept.right, kept.asked) == (0, 1)

    def test_trouble_with_the_model_is_raised(self, trained: Scene) -> None:
        trained.generator = ScriptedGenerator(InferenceError("infer.failed", "no", hint="x"))
        with pytest.raises(InferenceError):
            trained.workspace.exam(a_document())

    def test_what_an_observer_raises_is_its_own(self, trained: Scene) -> None:
        error = KeyError("mine")

        def observe(event: Any) -> None:
            if isinstance(event, Progress) and event.stage == "exam":
                raise error

        with pytest.raises(KeyError) as caught:
            trained.workspace.exam(a_document(), on_event=observe)
        assert caught.value is error
