/** Stands in the bundle where the picture codecs name a module that only Node has. */
export default {};
