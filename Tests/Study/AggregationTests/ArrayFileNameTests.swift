import Aggregation
import TensorStream
import Testing

@Suite struct ArrayFileNameTests {
  @Test(
    arguments: [
      ("layer_11_mean_abs_gradients.npy", Place(.mlpOut, 11), .gradient, .meanAbsolute),
      ("a/b/layer_0_mean_gradients.npy", Place(.mlpOut, 0), .gradient, .mean),
      ("layer_7_gradients.npy", Place(.mlpOut, 7), .gradient, nil),
      ("layer_7_attn_z_gradients.npy", Place(.attnZ, 7), .gradient, nil),
      ("x/layer_9999_resid_post_mean_abs_attributions.npy", Place(.residPost, 9999), .attribution, .meanAbsolute),
      ("layer_3_mean_activations.npy", Place(.mlpOut, 3), .activation, .mean),
      ("layer_3_firing.npy", Place(.mlpOut, 3), nil, nil),
      ("layer_3_attn_out_firing.npy", Place(.attnOut, 3), nil, nil),
    ] as [(String, Place, Quantity?, AveragingMode?)])
  func tellsWhatIsInIt(path: String, place: Place, quantity: Quantity?, mode: AveragingMode?) {
    #expect(ArrayFileName(parsing: path) == ArrayFileName(place, quantity, mode))
    #expect(path.hasSuffix(ArrayFileName(place, quantity, mode).description))
    let errors = path.dropLast(4) + "_se.npy"
    #expect(ArrayFileName(parsing: String(errors)) == ArrayFileName(place, quantity, mode, isStandardError: true))
  }

  @Test func everyNameIsReadAgain() {
    let places = Site.allCases.flatMap { site in [0, 11, 9999].map { Place(site, $0) } }
    let names = places.flatMap { place in
      Measure.all.flatMap { measure in
        [false, true].map { ArrayFileName(place, measure, isStandardError: $0) }
      } + [ArrayFileName(place, .gradient, nil)]
    }
    #expect(Set(names.map(\.description)).count == names.count)
    for name in names { #expect(ArrayFileName(parsing: "\(name)") == name) }
  }

  /// Whose files are named without it.
  @Test func theDefaultSiteMayBeNamed() {
    #expect(
      ArrayFileName(parsing: "layer_2_mlp_out_mean_gradients.npy")
        == ArrayFileName(Place(.mlpOut, 2), .average(.gradient, .mean)))
  }

  @Test(arguments: [
    "layer_gradients.npy", "layer_x_gradients.npy", "layer_1_median_gradients.npy", "layer_1mean_gradients.npy",
    "layer_1_resid_gradients.npy", "layer_1_resid_postmean_gradients.npy", "layer_1_mean_resid_post_gradients.npy",
    "layer_10000_gradients.npy", "layer_1_gradients.npz", "my_layer_1_gradients.npy", "layer_1_mean_firing.npy",
    "layer_1_se_mean_gradients.npy", "layer_1_mean_losses.npy", "layer_99999999999999999999_gradients.npy", "",
  ]) func isNilForOtherNames(path: String) {
    #expect(ArrayFileName(parsing: path) == nil)
  }
}
