import { scenarios } from "./scenarios.js";

scenarios("all three", ["watermelondb", "rxdb", "memory"]);
