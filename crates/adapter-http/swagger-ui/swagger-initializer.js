// Groups are closed, but for the one that the address names: sync, where it names none.
if (!location.hash) history.replaceState(null, "", "#/sync");
SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  persistAuthorization: true,
  validatorUrl: null,
});
