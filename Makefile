# `make demo` and `make test` each do everything on a fresh machine with Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the demo needs, and everything, in one environment.
RUNTIME := $(VENV)/.runtime
STAMP := $(VENV)/.installed
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
# A file goes to one worker as a whole, so that no cache is dumped for both; conftest.py says which come first.
TWO := -n 2 --dist loadfile --no-loadscope-reorder

# The last transformers 4, for which others made their environments, and version 5, both with what exports to ONNX.
# Everything else in them is what make install installed.
COMPAT := .venv-transformers4/.installed .venv-transformers5/.installed

# With the oldest dependencies: the files on disk against golden ones, the hub, tokenizers, checkpoints, and a dump with a training.
OLDEST := $(addprefix tests/,test_golden.py storage/columns storage/stores/test_hub.py recipes/share/test_push_student.py \
	models/test_tokenizer.py models/test_save.py models/test_loaded_weights.py)

# What one process compiles, the next ones read; pip compiles nothing, because most modules are never imported.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo docs test test-slow test-compat test-oldest lint clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[cloud,docs,eval,plot,test]'
	mkdir -p $(VENV)/types && ln -sfn "$(CURDIR)" $(VENV)/types/miniend
	touch $(RUNTIME) $@

$(RUNTIME): pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "installing what the demo needs into $(VENV); asking the index for the sizes"
	@$(BIN)/python benchmarks/install_size.py -c constraints.txt '.[plot]'
	$(PIP) -e '.[plot]'
	touch $@

demo: $(RUNTIME)
	$(BIN)/miniend demo

docs: install
	$(BIN)/mkdocs build
	@echo "open site/index.html"

test: install lint
	$(BIN)/pytest -c tests/pytest.ini --rootdir tests tests $(TWO)

test-slow: install
	$(BIN)/pytest -c tests/pytest.ini --rootdir tests tests $(TWO) -m slow

test-compat: install $(COMPAT)
	$(BIN)/pytest -c tests/pytest.ini --rootdir tests tests/models/test_transformers_versions.py -m compat

# The lowest versions that pyproject.toml allows, which warn of themselves; pytest and the rest come from the tested set.
test-oldest: install .venv-oldest/.installed
	.venv-oldest/bin/python -m pytest -c tests/pytest.ini --rootdir tests -W default $(OLDEST) $(TWO)

.venv-oldest/.installed: $(STAMP) constraints-oldest.txt
	$(PYTHON) -m venv --without-pip $(@D)
	$(BIN)/pip --python $(@D)/bin/python install --quiet --disable-pip-version-check --no-deps $$(grep -v '^#\|^torch=' constraints-oldest.txt)
	$(BIN)/pip --python $(@D)/bin/python install --quiet --disable-pip-version-check $$(grep '^torch=' constraints-oldest.txt)
	$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > \
		"$$($(@D)/bin/python -c 'import site; print(site.getsitepackages()[0])')/shared.pth"
	touch $@

.venv-transformers%/.installed: $(STAMP) constraints-transformers%.txt constraints-onnx.txt
	$(PYTHON) -m venv --without-pip $(@D)
	$(BIN)/pip --python $(@D)/bin/python install --quiet --disable-pip-version-check --no-deps -r constraints-transformers$*.txt
	$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > \
		"$$($(@D)/bin/python -c 'import site; print(site.getsitepackages()[0])')/shared.pth"
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(VENV)/types $(BIN)/mypy -p miniend

clean:
	rm -rf $(VENV) .venv-oldest $(dir $(COMPAT)) demo-output site build dist *.egg-info
