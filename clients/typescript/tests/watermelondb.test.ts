import { scenarios } from "./scenarios.js";

scenarios("WatermelonDB", ["watermelondb", "watermelondb", "watermelondb"]);
