# Everything a person types. Each target works alone on a fresh machine: it makes .venv and installs what it needs.
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := .demo

.PHONY: demo test check fix docs bench bench-learning clean

demo: $(VENV)/.installed
	@mkdir -p $(DEMO) && cp examples/harbour.dlm $(DEMO)/harbour.dlm
	$(BIN)/dlm --home $(DEMO)/home train $(DEMO)/harbour.dlm
	$(BIN)/dlm --home $(DEMO)/home prompt $(DEMO)/harbour.dlm "Who looks after the lighthouse?" --temp 0
	$(BIN)/dlm --home $(DEMO)/home prompt $(DEMO)/harbour.dlm "What is the capital of France?" --temp 0

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n 2 --no-loadscope-reorder

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

fix: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed
	$(BIN)/python docs/generate.py

bench-learning: $(VENV)/.installed
	$(BIN)/python bench/learning.py

bench: $(VENV)/.installed
	for script in $(filter-out bench/learning.py,$(wildcard bench/*.py)); do $(BIN)/python $$script || exit 1; done

$(VENV)/.installed: pyproject.toml constraints.txt install.sh
	bash install.sh $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO) build
