# make lab    start JupyterLab with the course
# make serve  start the backend with its page
# make test   prove it in three minutes: lint, types, unit and wire tests, strict re-run of all notebooks
# make test-all   prove all of it: the same, and real browsers, new environments, kills, a class; CI runs this
#
# Each target makes what it needs on a fresh machine. Others: slides slides-pdf site pictures translate translate-extract assignment grade check-room check-binder test-pythons test-lite test-lowest test-newest autobahn soak bench lint notebooks clean

# the first Python that is new enough; or: make lab PYTHON=/path/to/python
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
RUN = $(VENV)/bin
COURSE = $(VENV)/.course-installed
DEV = $(VENV)/.dev-installed
SITE = $(VENV)/.site-installed
LITE = $(VENV)/.lite-installed
TIMES ?= 20

# the tests start a hundred processes: without its cache, Python would compile everything for each of them
unexport PYTHONDONTWRITEBYTECODE

.PHONY: lab serve check-room assignment grade slides slides-pdf site pictures translate translate-extract test test-all test-pythons test-lite test-lowest test-newest check-binder autobahn soak bench lint notebooks clean

lab: $(COURSE)
	$(RUN)/jupyter lab --config=notebooks/.jupyter/jupyter_lab_config.py

# what only test-all runs, by name, because it would double the time: CONTRIBUTING.md says why
SLOW = tests/browser tests/benchmarks/test_fanout.py tests/benchmarks/test_servers.py tests/benchmarks/test_small.py tests/grading \
	tests/lab/checks/deeper/test_testing.py tests/lab/servers/test_no_proxy.py tests/notebooks/test_plans.py tests/project/test_install.py \
	tests/recipes tests/server/app/test_no_loss.py tests/server/broker/valkey/test_losses.py tests/server/run/test_start.py \
	tests/server/test_any_asgi_server.py tests/soak
test: lint
	$(RUN)/python -m pytest --nbval -n 4 --no-loadscope-reorder $(addprefix --ignore=,$(SLOW))

test-all: lint
	$(RUN)/python tests/browser/chromium.py
	$(RUN)/python -m pytest --nbval -n 3 --no-loadscope-reorder

# test-all on every supported Python of this machine
test-pythons:
	@tests/project/every-python $(MAKE)

# the lessons in Chromium without an install: every output, and the bytes on the wire, as on this machine
test-lite: $(DEV) $(LITE)
	$(RUN)/python tests/browser/chromium.py
	$(RUN)/python -m pytest -n 2 tests/lite

# the oldest versions that pyproject.toml allows
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest --resolution lowest-direct -e '.[course,dev]'
	.venv-lowest/bin/python -m pytest --nbval --ignore=tests/browser --ignore=tests/project

# the newest releases of everything, also beyond the bounds of pyproject.toml: what will have to be looked at next
test-newest:
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet --upgrade --upgrade-strategy eager -e '.[course,dev]'
	.venv-newest/bin/pip install --quiet --upgrade uvicorn websockets starlette fastapi h11 redis
	.venv-newest/bin/python -m pytest --nbval -n 3 --no-loadscope-reorder

# Autobahn's test suite for WebSockets; it needs a Python 2.7, see tests/attack/autobahn.py:
# make autobahn PYTHON2=python2.7 AUTOBAHN=/tmp/autobahn
PYTHON2 ?= python2.7
autobahn: $(DEV)
	$(RUN)/python -m tests.attack.autobahn --python '$(PYTHON2)' --suite '$(AUTOBAHN)'

# what Binder does with environment.yml and postBuild, in an empty environment, as far as it goes without conda
check-binder: $(DEV)
	$(RUN)/python tests/deploy/binder.py

# what the suite does once, many times in a row, with a table at the end: a server killed, a network cut, servers
# restarted, an engine killed, while it is counted that nothing is lost; and the strict re-run of every notebook
soak: $(DEV)
	$(RUN)/python -m tests.soak --times $(TIMES)

# the backend with its page, for everybody under any name: http://127.0.0.1:8000
serve: $(COURSE)
	$(RUN)/python -m server --demo-login

# is this machine, and its network, ready for a class?  make check-room ROOM="--wait 60 --kernels 30"
check-room: $(COURSE)
	@$(RUN)/python -P deploy/check_room.py $(ROOM)

bench: $(DEV)
	$(RUN)/python -m benchmarks.start
	$(RUN)/python -m benchmarks.manager
	$(RUN)/python -m benchmarks.fanout
	$(RUN)/python -m benchmarks.fanout --name portable --sizes 1000 \
		--rows tutorial,portable,tutorial-hypercorn,portable-hypercorn,tutorial-granian,portable-granian
	$(RUN)/python -m benchmarks.processes
	$(RUN)/python -m benchmarks.inboxes
	$(RUN)/python -m benchmarks.readme

lint: $(DEV)
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

# the lessons without their solutions, for a class: build/assignment/; make assignment ASSIGNMENT="--hints first --lessons 01 02"
assignment: $(COURSE)
	$(RUN)/python -m grading.assignment build/assignment $(ASSIGNMENT)

# what a class has handed in, executed and graded: make grade FOLDER=class; it runs the students' code
grade: $(COURSE)
	$(RUN)/python -m grading.grade $(FOLDER)

# two decks for each lesson, which need no network: build/slides/01-handshake.html, and 01-handshake-90-minutes.html
# for the plan of the teacher's guide; the key s opens the speaker's notes
# make slides AUTHOR="Ada Lovelace" DATE="24 November"
slides: $(SITE)
	$(RUN)/python -m docs.slides build/slides --author "$$AUTHOR" --date "$$DATE"

# the same as PDFs, a question on a page before its answer: build/slides/01-handshake.pdf
slides-pdf: slides $(DEV)
	$(RUN)/python tests/browser/chromium.py
	$(RUN)/python -m docs.slides.pdf build/slides

# the lessons to read, which need no server: build/site/index.html; each links to where it can be run:
# make site RUN_AT=https://hub.example.com/hub/user-redirect/lab/tree/learn-websockets/notebooks/
# BROWSER_AT is where they run in the reader's own browser, and REPOSITORY, such as https://github.com/owner/name, has the code
RUN_AT ?= http://localhost:8888/lab/tree/
SITE_IN ?= build/site
site: $(SITE)
	$(RUN)/python -m sphinx -q -W -E -c docs -d $(SITE_IN)-trees -D lessons_run_at='$(RUN_AT)' \
		-D browser_runs_at='$(BROWSER_AT)' -D repository='$(REPOSITORY)' . $(SITE_IN)

# a folder in which lessons 01 to 03 and some deeper ones run in the reader's browser, for any web server; it needs npm: build/lite/lab/index.html
# put it below the site, and let the site link to it: make lite site LITE_IN=build/site/lite BROWSER_AT=/lite/lab/index.html?path=
LITE_IN ?= build/lite
lite: $(LITE)
	@command -v npm >/dev/null || { echo "npm was not found: Pyodide comes from there; install Node.js from nodejs.org"; exit 1; }
	$(RUN)/python -m docs.lite.build $(LITE_IN)

# the picture of the chat that README, map and site show
pictures: $(DEV)
	$(RUN)/python docs/pictures.py

# the prose of the lessons that are translated, to a catalog and back: make translate-extract LANGUAGE=de
LANGUAGE ?= de
translate-extract: $(SITE)
	$(RUN)/python docs/translate.py extract $(LANGUAGE)

translate: $(SITE)
	$(RUN)/python docs/translate.py merge $(LANGUAGE)

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

$(LITE): pyproject.toml | $(RUN)/python
	$(RUN)/python -m pip install --quiet --editable '.[course,lite]'
	@touch $@

$(RUN)/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer was found; install one from python.org or your system's packages, or name it: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "this Python has no venv; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf build $(VENV) .venv-lowest .venv-newest .mypy_cache .ruff_cache .pytest_cache
