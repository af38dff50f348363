# tickcast as a small image: the binary, the C library, and no shell; it runs as nobody in particular (65532).
#
#   docker build -t tickcast .
#   docker run --rm -p 8080:8080 tickcast                      # the demo, at http://localhost:8080
#
#   docker run -d --name tickcast -p 8080:8080 --read-only --cap-drop ALL --security-opt no-new-privileges \
#       --ulimit nofile=200000:200000 --stop-timeout 45 --restart unless-stopped \
#       -v "$PWD/tickcast.toml:/etc/tickcast/tickcast.toml:ro" \
#       tickcast serve --config /etc/tickcast/tickcast.toml --log-format json
#
# Sources and dependencies are cached by BuildKit (or Buildah): after a change only what changed is built again.
# Whoever watches the container asks GET /health/live (restart it) and /health/ready (send it clients) from outside: there
# is nothing in here that could ask, and a HEALTHCHECK would need it.

ARG RUST=docker.io/library/rust:1.95-slim-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST} AS build
WORKDIR /src
COPY . .
# The profile's line tables would be most of the image; names of functions stay, for backtraces.
ENV CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=debuginfo
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin tickcast \
    && cp target/release/tickcast /usr/local/bin/tickcast

FROM ${BASE}
LABEL org.opencontainers.image.title="tickcast" \
      org.opencontainers.image.description="Streams stock and crypto prices to browsers over SSE" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /usr/local/bin/tickcast /usr/bin/tickcast
# Within a container the loopback address is nobody's way in.
ENV TICKCAST__HTTP__LISTEN=0.0.0.0:8080
EXPOSE 8080
# A number, so that Kubernetes' runAsNonRoot can tell.
USER 65532:65532
ENTRYPOINT ["/usr/bin/tickcast"]
CMD ["serve"]
