# `make demo` and `make test` each do everything on a fresh machine with Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test test-slow lint clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[cloud,eval,plot,test]' -c constraints.txt
	mkdir -p $(VENV)/types && ln -sfn "$(CURDIR)" $(VENV)/types/miniend
	touch $(STAMP)

demo: install
	$(BIN)/miniend demo

test: install lint
	$(BIN)/pytest -c tests/pytest.ini --rootdir tests tests -n 2

test-slow: install
	$(BIN)/pytest -c tests/pytest.ini --rootdir tests tests -n 2 -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(VENV)/types $(BIN)/mypy -p miniend

clean:
	rm -rf $(VENV) demo-output build dist *.egg-info
