# flowgate's own image: the one binary on a base of your choice. Build it from the repository:
#
#   cargo build --release && docker build --tag flowgate .
#
# The base needs nothing but a C library at least as new as that of the machine that built the binary. To
# run flows from inside, hand in an engine's socket: docker run -v /var/run/docker.sock:/var/run/docker.sock ...
ARG BASE=debian:12-slim
FROM ${BASE}
COPY target/release/flowgate /usr/local/bin/flowgate
ENTRYPOINT ["/usr/local/bin/flowgate"]
CMD ["--help"]
