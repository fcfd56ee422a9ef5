# make lab    start JupyterLab with the course
# make serve  start the backend with its page
# make test   prove all of it: lint, types, unit and wire tests, strict notebook re-run, real browser
#
# Each target makes what it needs on a fresh machine. Others: slides site check-room check-binder test-all soak bench lint notebooks clean

# the first Python that is new enough; or: make lab PYTHON=/path/to/python
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
RUN = $(VENV)/bin
COURSE = $(VENV)/.course-installed
DEV = $(VENV)/.dev-installed
SITE = $(VENV)/.site-installed
TIMES ?= 20

# the tests start a hundred processes: without its cache, Python would compile everything for each of them
unexport PYTHONDONTWRITEBYTECODE

.PHONY: lab serve check-room slides site test test-all test-lowest check-binder soak bench lint notebooks clean

lab: $(COURSE)
	$(RUN)/jupyter lab --config=notebooks/.jupyter/jupyter_lab_config.py

test: lint
	$(RUN)/python tests/browser/chromium.py
	$(RUN)/python -m pytest --nbval -n 3 --no-loadscope-reorder

test-all:
	@tests/project/every-python $(MAKE)

# the oldest versions that pyproject.toml allows
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest --resolution lowest-direct -e '.[course,dev]'
	.venv-lowest/bin/python -m pytest --nbval --ignore=tests/browser --ignore=tests/project

# what Binder does with environment.yml and postBuild, in an empty environment, as far as it goes without conda
check-binder: $(DEV)
	$(RUN)/python tests/deploy/binder.py

# the strict re-run of every notebook, many times in a row: one failure stops it
soak: $(DEV)
	$(RUN)/python tests/soak/kill.py 100
	for run in $$(seq $(TIMES)); do echo "run $$run of $(TIMES)"; \
		$(RUN)/python -m pytest --nbval --quiet --durations=0 --durations-min=3 notebooks || exit 1; done

# the backend with its page, for everybody under any name: http://127.0.0.1:8000
serve: $(COURSE)
	$(RUN)/python -m server --demo-login

# is this machine, and its network, ready for a class?  make check-room ROOM="--wait 60 --kernels 30"
check-room: $(COURSE)
	@$(RUN)/python -P notebooks/lab/room.py $(ROOM)

bench: $(DEV)
	$(RUN)/python benchmarks/start.py
	$(RUN)/python -m benchmarks.manager
	$(RUN)/python -m benchmarks.fanout

lint: $(DEV)
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

# a deck for each lesson, which needs no network: build/slides/01-handshake.html; the key s opens the speaker's notes
slides: $(SITE)
	$(RUN)/python docs/slides.py build/slides

# the lessons to read, which need no server: build/site/index.html; each links to where it can be run:
# make site RUN_AT=https://hub.example.com/hub/user-redirect/lab/tree/learn-websockets/notebooks/
RUN_AT ?= http://localhost:8888/lab/tree/
site: $(SITE)
	$(RUN)/python -m sphinx -q -W -c docs -d build/trees -D lessons_run_at=$(RUN_AT) notebooks build/site

# execute the notebooks and store their outputs
notebooks: $(DEV)
	$(RUN)/python tests/notebooks/execute.py

$(COURSE): pyproject.toml | $(RUN)/python
	$(RUN)/python -m pip install --quiet --editable '.[course]'
	$(RUN)/python -c 'import matplotlib.pyplot'  # its font cache is built once, and not in a reader's first cell
	@touch $@

$(DEV): pyproject.toml | $(RUN)/python
	$(RUN)/python -m pip install --quiet --editable '.[course,dev]'
	$(RUN)/python -c 'import matplotlib.pyplot'
	@touch $(COURSE) $(SITE) $@

$(SITE): pyproject.toml | $(RUN)/python
	$(RUN)/python -m pip install --quiet --editable '.[site]'
	@touch $@

$(RUN)/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer was found; install one from python.org or your system's packages, or name it: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "this Python has no venv; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf build $(VENV) .venv-lowest .mypy_cache .ruff_cache .pytest_cache
