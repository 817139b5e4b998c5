import { scenarios } from "./scenarios.js";

scenarios("an in-memory store", ["memory", "memory", "memory"]);
