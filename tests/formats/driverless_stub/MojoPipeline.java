package ai.h2o.mojos.runtime;

import ai.h2o.mojos.runtime.frame.MojoFrame;
import ai.h2o.mojos.runtime.frame.MojoFrameBuilder;
import ai.h2o.mojos.runtime.frame.MojoFrameMeta;
import ai.h2o.mojos.runtime.frame.MojoRowBuilder;
import java.util.List;

/** Stands in for the licensed runtime in the adapter's test: its public methods, over a model of two sums. */
public class MojoPipeline {
    public static MojoPipeline loadFrom(String path) throws LicenseException {
        if (!"a-valid-key".equals(System.getProperty("ai.h2o.mojos.runtime.license.key"))) {
            throw new LicenseException("No valid license found");
        }
        MojoPipeline made = new MojoPipeline();
        made.told = new java.io.File(path).length() > 40 ? "three" : "two";
        return made;
    }

    private String told;
    private boolean shapley;

    /** As the file is short or long: two outputs, or three, of which each has contributions of its own. */
    public void setShapPredictContribOriginal(boolean wanted) {
        shapley = wanted;
    }

    public String getUuid() {
        return "stub-uuid";
    }

    public MojoFrameMeta getInputMeta() {
        return new MojoFrameMeta(new String[] {"age", "visits", "plan"}, new String[] {"Float64", "Int32", "Str"});
    }

    public MojoFrameMeta getOutputMeta() {
        return told.equals("two")
            ? new MojoFrameMeta(new String[] {"letters", "sum"}, new String[] {"Float64", "Float64"})
            : new MojoFrameMeta(
                new String[] {"kind.a", "kind.b", "kind.c"}, new String[] {"Float64", "Float64", "Float64"});
    }

    public MojoFrameBuilder getInputFrameBuilder() {
        return new MojoFrameBuilder();
    }

    public MojoFrame transform(MojoFrame input) {
        List<MojoRowBuilder> rows = input.rows;
        if (shapley && rows.size() == 4) {
            throw new IllegalStateException("no Shapley values today");
        }
        double[] letters = new double[rows.size()];
        double[] sum = new double[rows.size()];
        for (int i = 0; i < rows.size(); i++) {
            letters[i] = rows.get(i).cells.getOrDefault("plan", "").length();
            sum[i] = Double.parseDouble(rows.get(i).cells.getOrDefault("age", "0"))
                + Integer.parseInt(rows.get(i).cells.getOrDefault("visits", "0"));
        }
        if (shapley && told.equals("two")) {
            return new MojoFrame(rows, new Object[] {letters, sum}, "contrib_plan", "contrib_bias");
        }
        if (shapley) {
            String[] names = {"contrib_plan.a", "contrib_bias.a", "contrib_plan.b", "contrib_bias.b", "contrib_plan.c",
                "contrib_bias.c"};
            return new MojoFrame(rows, new Object[] {letters, sum, sum, letters, letters, letters}, names);
        }
        return new MojoFrame(rows, told.equals("two") ? new Object[] {letters, sum} : new Object[] {sum, sum, letters});
    }
}
