#!/usr/bin/env bash
# Starts a real NVIDIA Triton Inference Server on the processor, on loopback: for tests and for trying things out, not for a hospital.
#
#   scripts/triton/start.sh REPOSITORY [HTTP_PORT [GRPC_PORT]]     serves the repository until it is ended
#   scripts/triton/start.sh --install                              only installs, once, into the cache folder
#
# Triton comes from the Python package nvidia-pytriton, which carries the server and its Python backend; the models run by
# onnxruntime in that backend, as `wetread models export --triton REPOSITORY --backend python` writes them.
# Needs Python 3.9 to 3.13 with its venv module and a shared libpython. TRITON_CACHE says where the 440 MB go.
set -euo pipefail

cache=${TRITON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wetread-triton}
python=${PYTHON:-python3}

if [ ! -e "$cache/installed" ]; then
  rm -rf "$cache"
  mkdir -p "$cache"
  "$python" -m venv "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check nvidia-pytriton==0.7.0 onnxruntime==1.31.1
  packages=$("$cache/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  version=$("$cache/venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  # The server looks for the process that hosts Python code beside the backend; the package keeps one for each Python elsewhere.
  cp -r "$packages/pytriton/tritonserver/backends" "$cache/backends"
  cp "$packages/pytriton/tritonserver/python_backend_stubs/$version/triton_python_backend_stub" "$cache/backends/python/"
  touch "$cache/installed"
fi
[ "${1:-}" = --install ] && exit 0

repository=$(cd "${1:?say which model repository}" && pwd)
packages=$("$cache/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
libpython=$("$cache/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')
export LD_LIBRARY_PATH="$packages/nvidia_pytriton.libs:$libpython${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export PYTHONPATH="$packages" PATH="$cache/venv/bin:$PATH"

exec "$packages/pytriton/tritonserver/bin/tritonserver" \
  --model-repository="$repository" --backend-directory="$cache/backends" \
  --http-address=127.0.0.1 --http-port="${2:-8000}" --grpc-address=127.0.0.1 --grpc-port="${3:-8001}" \
  --allow-metrics=false --strict-readiness=true
