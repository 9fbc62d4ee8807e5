// Runs the Khronos glTF validator on files and prints its report as JSON, one file a line.
//
//     npm install gltf-validator      (anywhere; NODE_PATH names its node_modules folder)
//     NODE_PATH=node_modules node scripts/validate_gltf.cjs head.glb ...
//
// Exit code: 0 no errors, 1 errors, 3 the package is not there.
const fs = require("fs");

let validator;
try {
  validator = require("gltf-validator");
} catch {
  console.error("the npm package gltf-validator is not there: npm install gltf-validator, set NODE_PATH");
  process.exit(3);
}

(async () => {
  let errors = 0;
  for (const path of process.argv.slice(2)) {
    const report = await validator.validateBytes(new Uint8Array(fs.readFileSync(path)), { uri: path });
    errors += report.issues.numErrors;
    console.log(JSON.stringify(report));
  }
  process.exit(errors > 0 ? 1 : 0);
})();
